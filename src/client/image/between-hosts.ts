/**
 * Images from daemon to daemon, over ssh or whatever leads to the other: no registry, and only the layers that are
 * missing there. What the daemons say to each other is `save` and `load`, with a question before.
 */
import { ApiClient } from '#api/client/api-client.ts';
import { parseHost } from '#api/client/address.ts';
import { exportImages, layersOf, loadImages, missingBlobs } from '#api/client/images.ts';
import { ApiError } from '#api/client/api-error.ts';
import type { LayerBlob } from '#api/types/image.ts';
import { humanSize } from '#pkg/units/size.ts';
import { type CommandContext, ExitError } from '../command.ts';
import { VERSION } from '../version.ts';
import { progressColumns, showProgress } from './show-progress.ts';

/** `ssh://…` where the name of an image would be: no image can be called so. */
export const isHost = (text: string): boolean => /^(?:ssh|unix|tcp):\/\//i.test(text);

export interface CopyOptions {
  readonly platform: string;
  readonly quiet: boolean;
}

export function pushToHost(
  context: CommandContext,
  host: string,
  names: readonly string[],
  options: CopyOptions,
): Promise<void> {
  return copyImages(context, { from: context.client(), to: daemonAt(host), other: host }, names, options);
}

export function pullFromHost(
  context: CommandContext,
  host: string,
  names: readonly string[],
  options: CopyOptions,
): Promise<void> {
  return copyImages(context, { from: daemonAt(host), to: context.client(), other: host }, names, options);
}

const daemonAt = (host: string): ApiClient =>
  new ApiClient({ address: parseHost(host), userAgent: `Berth-Client/${VERSION} (linux)` });

interface Ends {
  readonly from: ApiClient;
  readonly to: ApiClient;
  /** For messages: which of them is not ours. */
  readonly other: string;
}

async function copyImages(
  context: CommandContext,
  { from, to, other }: Ends,
  names: readonly string[],
  { platform, quiet }: CopyOptions,
): Promise<void> {
  if (names.length === 0) throw new ExitError(1, `which image? name at least one after ${other}`);
  const wanted = platformJson(platform);
  const layers = await ours(layersOf(from, names, wanted), other);
  const digests = layers.map(({ Digest }) => Digest);
  const { Digests, Begun = {} } = await ours(missingBlobs(to, digests), other);
  const missing = new Set(Digests);
  const without = layers.filter(({ Digest }) => !missing.has(Digest));
  const sent = layers.filter(({ Digest }) => missing.has(Digest));
  if (!quiet) {
    context.io.out(
      `${layers.length} layers (${humanSize(sizeOf(layers))}): ${without.length} are there already, ` +
        `${sent.length} (${humanSize(sizeOf(sent))}) are sent${begunText(sent, Begun)}\n`,
    );
  }
  const archive = await exportImages(from, {
    names,
    platform: wanted,
    without: without.map(({ Digest }) => Digest),
    from: Begun,
  });
  if (archive === null) throw new ExitError(1, `${other}: the archive has no content`);
  const columns = progressColumns(context);
  const write = (part: string): void => {
    if (!quiet) context.io.out(part);
  };
  await showProgress(loadImages(to, archive, quiet || columns === undefined, { partial: true }), { write, columns });
}

/** Of what a broken copy has brought before. */
function begunText(sent: readonly LayerBlob[], begun: Readonly<Record<string, number>>): string {
  const bytes = sent.reduce((sum, { Digest, Size }) => sum + Math.min(Size, begun[Digest] ?? 0), 0);
  return bytes === 0 ? '' : `, of which ${humanSize(bytes)} came before`;
}

/** `linux/arm/v7` as the API wants it. */
function platformJson(text: string): string {
  if (text === '') return '';
  const [os = '', architecture = '', variant, ...more] = text.split('/');
  if (os === '' || architecture === '' || more.length > 0) {
    throw new ExitError(1, `invalid platform ${JSON.stringify(text)}: want OS/ARCHITECTURE[/VARIANT]`);
  }
  return JSON.stringify({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

const sizeOf = (layers: readonly LayerBlob[]): number => layers.reduce((sum, { Size }) => sum + Size, 0);

/** Other engines do not know the question. */
async function ours<T>(answer: Promise<T>, other: string): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof ApiError) || !/page not found/i.test(error.message)) throw error;
    throw new ExitError(1, `${other}: the daemon there is no Berth, or an older one: use save and load`);
  }
}
