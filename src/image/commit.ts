/** `commit`: an image of a container's image and a layer of its own files. */
import { systemError } from '#errdefs/errors.ts';
import { type DiffId, EMPTY_DIFF_ID } from '#layer/chain-id.ts';
import type { PreparedLayer } from '#layer/register.ts';
import type { Reference } from '#reference/reference.ts';
import { makeRoom } from './collect.ts';
import type { ImageStore } from './image-store.ts';

export interface CommitInput {
  /** Image of the container. */
  readonly base: string;
  readonly containerId: string;
  /** Makes the layer, whose tar goes to this file. */
  readonly capture: (file: string) => Promise<PreparedLayer>;
  /** Of the new image. */
  readonly config: unknown;
  readonly author: string;
  readonly comment: string;
  /** For the history: the container's command. */
  readonly createdBy: string;
  readonly reference: Reference | undefined;
  readonly signal: AbortSignal;
}

/** Answers the image's id. Errors: not-found when the base is gone; data-loss, system; nothing stays then. */
export async function commitImage(store: ImageStore, input: CommitInput): Promise<string> {
  await makeRoom(store);
  const base = store.get(input.base);
  using file = store.content.scratch();
  using lease = store.layers.lease();
  using contentLease = store.content.lease({ purpose: 'commit' });
  if (base.chainId !== undefined) lease.add(base.chainId);
  await using prepared = await input.capture(file.path);
  // as: a digest that the Worker computed.
  const diffId = prepared.result.diffId as DiffId;
  const isEmpty = diffId === EMPTY_DIFF_ID;
  const below = base.config.rootfs.diff_ids;
  if (!isEmpty) {
    const sources = below.map((known) => ({ diffId: known, file: '' }));
    await store.layers.register([...sources, { diffId, file: file.path, prepared }], {
      lease,
      signal: input.signal,
      keep: (files) => store.content.keep(files, contentLease),
    });
  }
  const created = store.now().toISOString();
  const { architecture, variant, os } = base.config;
  const document = {
    architecture,
    ...(variant === undefined ? {} : { variant }),
    os,
    ...(base.config['os.version'] === undefined ? {} : { 'os.version': base.config['os.version'] }),
    ...(input.author === '' ? {} : { author: input.author }),
    ...(input.comment === '' ? {} : { comment: input.comment }),
    container: input.containerId,
    created,
    config: input.config,
    rootfs: { type: 'layers', diff_ids: isEmpty ? below : [...below, diffId] },
    history: [
      ...base.config.history,
      {
        created,
        created_by: input.createdBy,
        ...(input.author === '' ? {} : { author: input.author }),
        ...(input.comment === '' ? {} : { comment: input.comment }),
        ...(isEmpty ? { empty_layer: true } : {}),
      },
    ],
  };
  const image = { config: Buffer.from(JSON.stringify(document)), parent: base.id };
  const { ids } = await store.create([{ image, references: input.reference === undefined ? [] : [input.reference] }]);
  const [id] = ids;
  if (id === undefined) throw systemError('no image was made');
  return id;
}
