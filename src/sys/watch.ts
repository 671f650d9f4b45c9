/**
 * Tells when a poll-only descriptor (pidfd, memory event, seccomp notify) becomes readable. Bun's loop cannot wait for
 * these, so one Worker sits in epoll_wait for all of them (7 MB, made on first use; 0.01 ms a wake-up). Commands reach it
 * through a pipe in its epoll set: messages posted to a Worker that sits in a loop of its own are lost (streams.md 2).
 */
import { close, dup, pipe2, writeAll } from './files.ts';

interface Watcher {
  readonly commands: number;
  /** By the watched duplicate. */
  readonly waiting: Map<number, () => void>;
}

let watcher: Watcher | undefined;

function theWatcher(): Watcher {
  if (watcher !== undefined) return watcher;
  const { read, write } = pipe2();
  const worker = new Worker(new URL('./watch-worker.ts', import.meta.url).href);
  const made: Watcher = { commands: write, waiting: new Map() };
  worker.onmessage = (event: MessageEvent<number>) => {
    const fd = event.data;
    made.waiting.get(fd)?.();
    made.waiting.delete(fd);
    close(fd);
  };
  worker.postMessage(read);
  // The daemon's life does not hang on its watches.
  worker.unref();
  watcher = made;
  return made;
}

/** Settles once `fd` is readable (or hung up). `fd` stays the caller's and may be closed meanwhile. */
export function whenReadable(fd: number): Promise<void> {
  const { commands, waiting } = theWatcher();
  const watched = dup(fd);
  return new Promise((resolve) => {
    waiting.set(watched, resolve);
    writeAll(commands, new Uint8Array(Int32Array.of(watched).buffer));
  });
}
