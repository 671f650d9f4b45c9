/** `save`. */
import { closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { saveImages } from '#api/client/images.ts';
import { defineCommand, ExitError } from '../command.ts';
import { text } from '../flags/flag-spec.ts';
import { OutputPort } from '../terminal/output-port.ts';

const FILE_MODE = 0o600;

export const save = defineCommand({
  operands: 'IMAGE [IMAGE...]',
  count: [1, Infinity],
  flags: { output: text('Write to a file, instead of STDOUT', { shorthand: 'o' }) },
  async run(context, { values, positionals }) {
    if (values.output === '' && context.io.stdoutIsTerminal) {
      throw new ExitError(1, 'cowardly refusing to save to a terminal. Use the -o flag or redirect');
    }
    const body = await saveImages(context.client(), positionals);
    if (body === null) throw new ExitError(1, 'the daemon sent no archive');
    if (values.output === '') {
      const stdout = new OutputPort(1);
      for await (const chunk of body) await stdout.write(chunk);
      await stdout.drained();
      return;
    }
    await writeWhole(values.output, body);
  },
});

/** A file is there whole or not at all; a device or pipe is written as it is. */
async function writeWhole(path: string, body: ReadableStream<Uint8Array>): Promise<void> {
  const existing = statSync(path, { throwIfNoEntry: false });
  if (existing?.isDirectory() === true) throw new ExitError(1, `invalid output path: "${path}" must be a file`);
  const inPlace = existing !== undefined && !existing.isFile();
  const target = inPlace ? path : `${path}.${process.pid}.part`;
  const fd = openSync(target, inPlace ? 'w' : 'wx', FILE_MODE);
  try {
    const file = new OutputPort(fd);
    for await (const chunk of body) await file.write(chunk);
    if (!inPlace) renameSync(target, path);
  } catch (error) {
    if (!inPlace) rmSync(target, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
