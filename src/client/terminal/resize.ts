/** Tells the daemon the size of the terminal: once the process runs, and at each change. */

type Resize = (height: number, width: number) => Promise<void>;

const ATTEMPTS = 10;
const ATTEMPT_MS = 10;

/** [height, width] of the terminal on stdout, if there is one. */
export function terminalSize(): readonly [number, number] | undefined {
  const { rows, columns } = process.stdout;
  return process.stdout.isTTY && rows > 0 && columns > 0 ? [rows, columns] : undefined;
}

/** Ends with its disposal. A refused resize is no failure of the command: the process may have just ended. */
export function followTerminalSize(resize: Resize): Disposable {
  let ended = false;
  const send = async (attempts: number): Promise<void> => {
    for (let attempt = 0; attempt < attempts && !ended; attempt++) {
      const size = terminalSize();
      if (size === undefined) return;
      try {
        await resize(...size);
        return;
      } catch {
        // The process is not started yet, or has ended.
        await Bun.sleep(ATTEMPT_MS * (attempt + 1));
      }
    }
  };
  const changed = () => {
    // The stream learns the new size in its own handler of the same signal.
    setImmediate(() => void send(1));
  };
  process.on('SIGWINCH', changed);
  void send(ATTEMPTS);
  return {
    [Symbol.dispose]() {
      ended = true;
      process.off('SIGWINCH', changed);
    },
  };
}
