/**
 * `--output`: the result as files, a tar, an archive of the image, or in a registry. All of them are made of the image that
 * the daemon has built. Of several platforms files go into a directory each, as BuildKit has them: `linux_arm64/`.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { deleteContainer, createFromImage, exportFiles } from './result-files.ts';
import type { BuildLine } from '#api/client/build.ts';
import { saveImages } from '#api/client/images.ts';
import { byteString } from '#pkg/archive/entry.ts';
import { packTree } from '#pkg/archive/pack.ts';
import { Unpacker } from '#pkg/archive/unpack.ts';
import { TarParser } from '#pkg/archive/parser.ts';
import { csvFields } from '#pkg/csv/csv.ts';
import { type CommandContext, UsageError } from '../command.ts';
import type { BuildValues } from './build-flags.ts';

interface Output {
  readonly type: 'image' | 'local' | 'tar' | 'oci' | 'docker' | 'registry' | 'cacheonly';
  readonly dest: string;
  /** Files of one platform lie where they are asked for, those of several below its name. */
  readonly split: boolean | undefined;
  /** An archive: else a directory. */
  readonly tar: boolean;
}

export interface Outputs {
  readonly outputs: readonly Output[];
  readonly names: readonly string[];
  /** Names that get the image by its digest alone: they do not name it here. */
  readonly byDigest: readonly string[];
  /** What the image's manifest is to be. */
  readonly options: Readonly<Record<string, string>>;
}

/** What the daemon says of the result. */
export type Built = Pick<BuildLine, 'images' | 'digest'> & { readonly id: string };

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

const isTrue = (text: string | undefined): boolean => text === 'true' || text === '1';

/** What is this client's to do. */
const OWN: ReadonlySet<string> = new Set(['type', 'dest', 'name', 'push', 'push-by-digest', 'tar', 'platform-split']);

/** Errors: UsageError. */
export function outputsOf(values: BuildValues): Outputs {
  const named: string[] = [];
  const options: Record<string, string> = {};
  let byDigest = false;
  const outputs = values.output.map((text): Output => {
    const common = { split: undefined, tar: true };
    if (!text.includes('='))
      return { ...common, ...(text === '-' ? { type: 'tar', dest: '-' } : { type: 'local', dest: text }) };
    const fields = new Map(
      csvFields(text).map((field) => [(field.split('=')[0] ?? '').trim(), field.slice(field.indexOf('=') + 1)]),
    );
    const type = fields.get('type') ?? 'local';
    const dest = fields.get('dest') ?? '';
    if (!isType(type)) throw new UsageError(`unsupported output type ${JSON.stringify(type)}`);
    const name = fields.get('name');
    if (name !== undefined) named.push(...name.split(','));
    if (type === 'local' && dest === '') throw new UsageError('dest is required for local output');
    for (const [key, value] of fields) {
      if (OWN.has(key)) continue;
      if ((options[key] ?? value) !== value) throw new UsageError(`two outputs want another ${key} of the one image`);
      options[key] = value;
    }
    if (isTrue(fields.get('push-by-digest'))) byDigest = true;
    const split = fields.has('platform-split') ? isTrue(fields.get('platform-split')) : undefined;
    const tar = !fields.has('tar') || isTrue(fields.get('tar'));
    const pushes = type === 'image' && isTrue(fields.get('push'));
    return { type: pushes ? 'registry' : type, dest, split, tar };
  });
  if (values.push) outputs.push({ type: 'registry', dest: '', split: undefined, tar: true });
  const names = [...values.tag, ...named];
  const pushes = outputs.some(({ type }) => type === 'registry');
  if (pushes && names.length === 0) throw new UsageError('tag is needed when pushing to registry');
  if (!byDigest) return { outputs, names, byDigest: [], options };
  if (!pushes) throw new UsageError('push-by-digest needs push=true');
  // The digest needs a manifest of its own.
  return {
    outputs: outputs.filter(({ type }) => type !== 'registry'),
    names: values.tag,
    byDigest: named,
    options: { 'oci-mediatypes': 'true', ...options },
  };
}

export async function deliver(context: CommandContext, { outputs, names }: Outputs, built: Built): Promise<void> {
  for (const output of outputs) {
    if (output.type === 'local' || output.type === 'tar') await files(context, output, built);
    else if (output.type === 'oci' || output.type === 'docker') await archive(context, output, names, built);
    else if (output.type === 'registry') await push(context, names);
  }
}

async function files(context: CommandContext, output: Output, { id, images = [] }: Built): Promise<void> {
  const isSplit = output.split ?? images.length > 1;
  if (!isSplit && images.length < 2) {
    if (output.type === 'local') await unpackImage(context, id, output.dest);
    else await withFiles(context, id, (body) => toFile(output.dest, body));
    return;
  }
  const inTar = output.type === 'tar' ? fs.mkdtempSync(path.join(os.tmpdir(), 'berth-build-')) : undefined;
  try {
    for (const { platform, imageId } of images) {
      const below = isSplit ? platform.replaceAll('/', '_') : '';
      await unpackImage(context, imageId, path.join(inTar ?? output.dest, below));
    }
    if (inTar !== undefined) await toFile(output.dest, packed(inTar));
  } finally {
    if (inTar !== undefined) fs.rmSync(inTar, { recursive: true, force: true });
  }
}

async function withFiles(
  context: CommandContext,
  image: string,
  work: (body: ReadableStream<Uint8Array>) => Promise<void>,
): Promise<void> {
  const container = await createFromImage(context.client(), image);
  try {
    await work(await exportFiles(context.client(), container));
  } finally {
    await deleteContainer(context.client(), container);
  }
}

function unpackImage(context: CommandContext, image: string, directory: string): Promise<void> {
  return withFiles(context, image, (body) => unpack(body, directory));
}

async function unpack(body: AsyncIterable<Uint8Array>, directory: string): Promise<void> {
  fs.mkdirSync(directory, { recursive: true });
  const root = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    using unpacker = new Unpacker({ root, whiteouts: 'none', owner: 'unchanged', into: 'replace' });
    const parser = new TarParser(unpacker);
    for await (const piece of body) parser.push(Buffer.from(piece));
    parser.finish();
    unpacker.finish();
  } finally {
    fs.closeSync(root);
  }
}

async function* packed(directory: string): AsyncGenerator<Uint8Array> {
  const root = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    yield* packTree({ root, prefix: byteString(''), whiteouts: 'none', wanted: () => true });
  } finally {
    fs.closeSync(root);
  }
}

/** Docker's archive is an OCI layout too. */
async function archive(
  context: CommandContext,
  output: Output,
  names: readonly string[],
  { id, images = [] }: Built,
): Promise<void> {
  if (output.dest === '') return;
  if (output.type === 'docker' && images.length > 1) {
    throw new UsageError('docker exporter does not support exporting several platforms: use type=oci');
  }
  const body = await saveImages(context.client(), names.length === 0 ? [id] : names);
  if (body === null) return;
  if (output.tar) await toFile(output.dest, body);
  else await unpack(body, output.dest);
}

async function toFile(dest: string, body: AsyncIterable<Uint8Array>): Promise<void> {
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
