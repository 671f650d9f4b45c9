/** `import`: an image of one layer from a file system's tar. */
import type { ProgressMessage } from '#api/types/image.ts';
import type { Platform } from '#content/descriptor.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { type DiffId } from '#layer/chain-id.ts';
import { parseReference, type Reference, withDefaultTag, withTag } from '#reference/reference.ts';
import { applyChanges } from './change.ts';
import { makeRoom } from './collect.ts';
import type { ImageStore } from './image-store.ts';
import { hostPlatform, parsePlatform } from './platform.ts';
import { spoolPlain } from './spool.ts';

export interface ImportInput {
  readonly archive: AsyncIterable<Uint8Array>;
  /** '' for an image without a name. */
  readonly repo: string;
  readonly tag: string;
  readonly message: string;
  readonly changes: readonly string[];
  /** `os[/architecture[/variant]]`; '' for this host's. */
  readonly platform: string;
  readonly tell: (message: ProgressMessage) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

/** Answers the image's id, which is also the last status told. Errors: invalid-parameter, data-loss, cancelled. */
export async function importImage(store: ImageStore, input: ImportInput): Promise<string> {
  const reference = referenceOf(input.repo, input.tag);
  const platform = platformOf(input.platform);
  const config = applyChanges({}, input.changes);
  await makeRoom(store);
  await using spooled = await spoolPlain(input.archive, { content: store.content, signal: input.signal });
  await using prepared = await store.layers.prepare(spooled.path, { signal: input.signal });
  using lease = store.layers.lease();
  using contentLease = store.content.lease({ purpose: 'import' });
  const [layer] = await store.layers.register(
    // as: a digest that the Worker computed.
    [{ diffId: prepared.result.diffId as DiffId, file: spooled.path, prepared }],
    { lease, signal: input.signal, keep: (files) => store.content.keep(files, contentLease) },
  );
  if (layer === undefined) throw invalidParameter('the archive has no layer');
  const created = store.now().toISOString();
  const document = {
    ...platform,
    ...(input.message === '' ? {} : { comment: input.message }),
    created,
    config,
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    history: [{ created, comment: input.message }],
  };
  const { ids } = await store.create([
    {
      image: { config: Buffer.from(JSON.stringify(document)) },
      references: reference === undefined ? [] : [reference],
    },
  ]);
  const [id = ''] = ids;
  await input.tell({ status: id });
  return id;
}

/** Undefined for an image without a name. Errors: invalid-parameter. */
export function referenceOf(repo: string, tag: string): Reference | undefined {
  if (repo === '') return undefined;
  const named = parseReference(repo);
  if (named.digest !== undefined) throw invalidParameter('cannot import digest reference');
  return tag === '' ? withDefaultTag(named) : withTag(named, tag);
}

/** Errors: invalid-parameter. */
function platformOf(text: string): Platform {
  if (text === '') {
    const { os, architecture } = hostPlatform();
    return { architecture, os };
  }
  const { os, architecture, variant } = parsePlatform(text);
  if (os !== 'linux') throw invalidParameter('operating system is not supported');
  return variant === undefined || (architecture === 'arm64' && variant === 'v8')
    ? { architecture, os }
    : { architecture, variant, os };
}
