/** Programs that the user of the client asked for: ssh to another daemon, plugins of the client. They are not the daemon's. */

export interface SessionEvents {
  /** While a promise that it returned is pending, nothing more is read. */
  data(bytes: Uint8Array): void | Promise<void>;
  /** No more output: it has ended, or closed its end. */
  end(): void;
}

export interface Session {
  /** Resolves when the program has room for more. */
  write(bytes: Uint8Array): Promise<void>;
  endInput(): void;
  kill(): void;
}

/** Its input and output are ours, its messages go to our stderr. */
export function startSession(program: string, args: readonly string[], events: SessionEvents): Session {
  const child = Bun.spawn([program, ...args], { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' });
  void (async () => {
    try {
      for await (const bytes of child.stdout) await events.data(bytes);
    } finally {
      events.end();
    }
  })();
  return {
    async write(bytes) {
      await child.stdin.write(bytes);
      await child.stdin.flush();
    },
    endInput: () => void child.stdin.end(),
    kill: () => child.kill(),
  };
}

const PASSED_ON = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** With our terminal, input and output; signals are for it alone. Resolves with its exit code (128 + signal). */
export async function runInForeground(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const child = Bun.spawn([program, ...args], { env: { ...environment }, stdio: ['inherit', 'inherit', 'inherit'] });
  // The terminal sends Ctrl-C to both; other senders mean us, and we hand it on.
  const handlers = PASSED_ON.map((signal) => [signal, () => signal !== 'SIGINT' && child.kill(signal)] as const);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  try {
    return await child.exited;
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}

/** Settings of the terminal on stdin, as stty names them. Where there is no stty nothing happens. */
export function setTerminal(settings: readonly string[]): void {
  try {
    Bun.spawnSync(['stty', ...settings], { stdio: ['inherit', 'ignore', 'ignore'] });
  } catch {
    // Not there: what it would have set is a matter of looks.
  }
}

/** A program that is told something and answers: a credential helper. From PATH; its messages go to our stderr. */
export async function runWithInput(
  program: string,
  args: readonly string[],
  input: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly code: number; readonly output: string }> {
  const found = Bun.which(program, { PATH: environment['PATH'] ?? '' });
  if (found === null) return { code: 127, output: `exec: "${program}": executable file not found in $PATH` };
  const child = Bun.spawn([found, ...args], {
    env: { ...environment },
    stdin: Buffer.from(input),
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const output = await new Response(child.stdout).text();
  return { code: await child.exited, output };
}
