/** Programs of this host in a container's network namespace: for what the images of the tests have no program. */
import { type ChildProcess, spawn } from 'node:child_process';

export interface Inside extends AsyncDisposable {
  /** What the script has printed. */
  output(): string;
}

/** Runs a script of ours there until it is disposed; resolves when it has printed its first line. */
export async function scriptInside(pid: number, script: string): Promise<Inside> {
  const child: ChildProcess = spawn('nsenter', ['-t', String(pid), '-n', process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const ready = new Promise<void>((resolve) => {
    child.stdout?.on('data', (bytes: Buffer) => {
      output += bytes.toString();
      if (output.includes('\n')) resolve();
    });
  });
  await Promise.race([ready, ended]);
  return {
    output: () => output,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
