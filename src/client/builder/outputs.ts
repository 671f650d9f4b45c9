/**
 * `--output`: the result as files, a tar, an archive of the image, or in a registry. All of them are made of the image that
 * the daemon has built; one that nobody named is removed afterwards.
 */
import * as fs from 'node:fs';
import { deleteContainer, createFromImage, exportFiles } from './result-files.ts';
import { saveImages } from '#api/client/images.ts';
import { Unpacker } from '#pkg/archive/unpack.ts';
import { TarParser } from '#pkg/archive/parser.ts';
import { type CommandContext, UsageError } from '../command.ts';
import type { FlagValues } from '../flags/flag-spec.ts';
import type { buildFlags } from './build-flags.ts';

interface Output {
  readonly type: 'image' | 'local' | 'tar' | 'oci' | 'docker' | 'registry' | 'cacheonly';
  readonly dest: string;
}

export interface Outputs {
  readonly outputs: readonly Output[];
  readonly names: readonly string[];
}

const types: readonly string[] = [
  'image',
  'local',
  'tar',
  'oci',
  'docker',
  'registry',
  'cacheonly',
] satisfies Output['type'][];
const isType = (text: string): text is Output['type'] => types.includes(text);

/** Errors: UsageError. */
export function outputsOf(values: FlagValues<typeof buildFlags>): Outputs {
  const names = [...values.tag];
  const outputs = values.output.map((text): Output => {
    if (!text.includes('=')) return text === '-' ? { type: 'tar', dest: '-' } : { type: 'local', dest: text };
    const fields = new Map(
      text.split(',').map((field) => [field.split('=')[0] ?? '', field.slice(field.indexOf('=') + 1)]),
    );
    const type = fields.get('type') ?? 'local';
    const dest = fields.get('dest') ?? '';
    if (!isType(type)) throw new UsageError(`unsupported output type ${JSON.stringify(type)}`);
    const named = fields.get('name');
    if (named !== undefined) names.push(...named.split(','));
    if (type === 'local' && dest === '') throw new UsageError('dest is required for local output');
    return { type: type === 'image' && fields.get('push') === 'true' ? 'registry' : type, dest };
  });
  if (values.push) outputs.push({ type: 'registry', dest: '' });
  if (outputs.some(({ type }) => type === 'registry') && names.length === 0)
    throw new UsageError('tag is needed when pushing to registry');
  return { outputs, names };
}

export async function deliver(context: CommandContext, { outputs, names }: Outputs, id: string): Promise<void> {
  for (const output of outputs) {
    if (output.type === 'local' || output.type === 'tar') await files(context, output, id);
    else if (output.type === 'oci' || output.type === 'docker') await archive(context, output, names, id);
    else if (output.type === 'registry') await push(context, names);
  }
}

async function files(context: CommandContext, output: Output, id: string): Promise<void> {
  const container = await createFromImage(context.client(), id);
  try {
    const body = await exportFiles(context.client(), container);
    if (output.type === 'tar') {
      await toFile(output.dest, body);
      return;
    }
    fs.mkdirSync(output.dest, { recursive: true });
    const root = fs.openSync(output.dest, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
    try {
      using unpacker = new Unpacker({ root, whiteouts: 'none', owner: 'unchanged', into: 'replace' });
      const parser = new TarParser(unpacker);
      for await (const piece of body) parser.push(Buffer.from(piece));
      parser.finish();
      unpacker.finish();
    } finally {
      fs.closeSync(root);
    }
  } finally {
    await deleteContainer(context.client(), container);
  }
}

/** Docker's archive is an OCI layout too. */
async function archive(context: CommandContext, output: Output, names: readonly string[], id: string): Promise<void> {
  if (output.dest === '') return;
  const body = await saveImages(context.client(), names.length === 0 ? [id] : names);
  if (body !== null) await toFile(output.dest, body);
}

async function toFile(dest: string, body: ReadableStream<Uint8Array>): Promise<void> {
  const fd = dest === '-' || dest === '' ? 1 : fs.openSync(dest, 'w', 0o644);
  try {
    for await (const piece of body) for (let at = 0; at < piece.length; ) at += fs.writeSync(fd, piece, at);
  } finally {
    if (fd !== 1) fs.closeSync(fd);
  }
}

async function push(context: CommandContext, names: readonly string[]): Promise<void> {
  const found = context.table.find(['image', 'push']);
  if (found === undefined) throw new UsageError('pushing to a registry is not there yet');
  const command = await found.entry.load();
  for (const name of names) await command.execute({ ...context, path: 'image push' }, [name]);
}
