/** An archive that a command exports: to a file, or to a standard output that is no terminal. */
import { ExitError } from '../command.ts';
import type { Io } from './io.ts';
import { OutputPort } from './output-port.ts';
import { writeWhole } from './write-whole.ts';

/** `ask` is called when there is somewhere to write to. Errors: ExitError for a terminal. */
export async function writeArchive(
  io: Io,
  file: string,
  ask: () => Promise<ReadableStream<Uint8Array> | null>,
  what = '',
): Promise<void> {
  if (file === '' && io.stdoutIsTerminal) {
    throw new ExitError(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
  }
  const body = await ask();
  if (body === null) throw new ExitError(1, 'the daemon sent no archive');
  if (file !== '') {
    await writeWhole(file, body, what);
    return;
  }
  const stdout = new OutputPort(1);
  for await (const chunk of body) await stdout.write(chunk);
  await stdout.drained();
}
