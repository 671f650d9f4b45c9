/**
 * The image of a finished stage: tars are made of the snapshots that it has above its base (those of other stages never
 * become one), and configuration and history are written. A stage built twice from the cache is the same image.
 */
import type { HistoryEntry, ImageRunConfig } from '#image/config.ts';
import { type ChainId, chainIdOf, chainIds, type DiffId, EMPTY_DIFF_ID } from '#layer/chain-id.ts';
import type { LayerLease } from '#layer/layer-store.ts';
import type { CapturedSnapshot } from '#layer/adopt.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import type { BuildSession } from './session.ts';
import type { MadeLayer, StageState } from './state.ts';
import { timeOf } from './stage.ts';

/** Tars that are being made while the build goes on. */
export class Captures {
  readonly #session: BuildSession;
  readonly #captures = new Map<string, Promise<CapturedSnapshot>>();

  constructor(session: BuildSession) {
    this.#session = session;
  }

  /** Begins with the layers of the target as soon as they are there. */
  begin(layer: MadeLayer): void {
    const { cache, layers } = this.#session;
    if (
      (this.#session.request.sourceDateEpoch === undefined && cache.get(layer.key)?.diffId !== undefined) ||
      layers.layerOfSnapshot(layer.snapshot) !== undefined
    )
      return;
    this.of(layer).catch(() => undefined);
  }

  of(layer: MadeLayer): Promise<CapturedSnapshot> {
    let capture = this.#captures.get(layer.snapshot);
    if (capture === undefined) {
      capture = this.#capture(layer);
      this.#captures.set(layer.snapshot, capture);
    }
    return capture;
  }

  async #capture({ snapshot, key }: MadeLayer): Promise<CapturedSnapshot> {
    const { content, layers, held, cache, signal, request } = this.#session;
    const { sourceDateEpoch } = request;
    const placed = this.#session.placed.get(snapshot);
    if (placed !== undefined && sourceDateEpoch === undefined) {
      using mount = layers.mountSnapshot(snapshot);
      const job = { kind: 'kept-tar', ...placed, root: mount.fd } as const;
      const measured = await this.#session.files.run<'kept-tar'>(job, signal);
      if (measured !== 'tree') {
        // as: a digest that the Worker computed.
        cache.setDiffId(key, measured.diffId as DiffId);
        return { snapshot, file: undefined, result: measured };
      }
    }
    const scratch = held.use(content.scratch());
    const result = await layers.captureSnapshot(snapshot, scratch.path, signal, sourceDateEpoch);
    // as: a digest that the Worker computed.
    if (sourceDateEpoch === undefined) cache.setDiffId(key, result.diffId as DiffId);
    return { snapshot, file: scratch.path, result };
  }

  /** The scratch files are removed after nobody writes them any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#captures.values());
  }
}

/** What an image is of, before it is recorded. */
export interface MadeImage {
  readonly config: Buffer;
  readonly diffIds: readonly DiffId[];
  readonly platform: StageState['platform'];
}

/** The layers are registered, and kept by `lease`. */
export async function makeImage(
  session: BuildSession,
  state: StageState,
  captures: Captures,
  lease: LayerLease,
): Promise<MadeImage> {
  const base = chainIdOf(state.below);
  if (base !== undefined) lease.add(base);
  await session.chains.needLayers(base);
  if (session.request.squash) {
    const { squashed } = await import('./squash.ts');
    const { diffIds, history } = await squashed(session, state, lease);
    return madeOf(session, state, diffIds, history);
  }
  const diffs = await registered(session, state, captures, lease);
  const diffIds = [...state.below, ...diffs.values()].filter((id) => id !== EMPTY_DIFF_ID);
  const history = state.history.map(({ layer, ...entry }): HistoryEntry => {
    if (layer === undefined) return entry;
    return diffs.get(layer) === EMPTY_DIFF_ID ? { ...entry, empty_layer: true } : entry;
  });
  return madeOf(session, state, diffIds, history);
}

function madeOf(
  session: BuildSession,
  state: StageState,
  diffIds: readonly DiffId[],
  history: readonly HistoryEntry[],
): MadeImage {
  const document = documentOf(session, state, history, diffIds);
  failpoint('build.layers-recorded');
  return { config: Buffer.from(JSON.stringify(document)), diffIds, platform: state.platform };
}

/** DiffId of each made layer, all of them registered. */
export async function registered(
  session: BuildSession,
  state: StageState,
  captures: Captures,
  lease: { add(chainId: ChainId): void },
): Promise<Map<MadeLayer, DiffId>> {
  const { cache, layers, content, request } = session;
  if (request.sourceDateEpoch !== undefined) return rewritten(session, state, captures, lease);
  const diffs = new Map<MadeLayer, DiffId>();
  const stack: DiffId[] = [...state.below];
  let at = 0;
  // What was an image before is one already, as far as it goes.
  for (; at < state.layers.length; at++) {
    const layer = state.layers[at];
    if (layer === undefined) break;
    const known = cache.get(layer.key)?.diffId ?? layers.layerOfSnapshot(layer.snapshot)?.diffId;
    if (known === undefined) break;
    if (known !== EMPTY_DIFF_ID) {
      const chainId = chainIds([...stack, known]).at(-1);
      if (chainId === undefined || layers.get(chainId) === undefined) break;
      lease.add(chainId);
      stack.push(known);
    }
    diffs.set(layer, known);
  }
  const rest = state.layers.slice(at);
  const captured = await Promise.all(rest.map((layer) => captures.of(layer)));
  const made = captured.filter(({ result }) => result.diffId !== EMPTY_DIFF_ID);
  // as: digests that the Worker computed.
  for (const [index, layer] of rest.entries()) diffs.set(layer, captured[index]?.result.diffId as DiffId);
  if (made.length > 0) {
    using contentLease = content.lease({ purpose: 'build' });
    await layers.adopt(stack, made, { lease, keep: (files) => content.keep(files, contentLease) });
  }
  return diffs;
}

/** Layers whose times are not the snapshots': unpacked from their tars, as from any archive. */
async function rewritten(
  session: BuildSession,
  state: StageState,
  captures: Captures,
  lease: { add(chainId: ChainId): void },
): Promise<Map<MadeLayer, DiffId>> {
  const { layers, content, signal } = session;
  const captured = await Promise.all(state.layers.map((layer) => captures.of(layer)));
  const diffs = new Map<MadeLayer, DiffId>();
  // as: digests that the Worker computed.
  for (const [index, layer] of state.layers.entries()) diffs.set(layer, captured[index]?.result.diffId as DiffId);
  const sources = [
    ...state.below.map((diffId) => ({ diffId, file: '' })),
    ...captured
      .filter(({ result }) => result.diffId !== EMPTY_DIFF_ID)
      .map(({ result, file }) => ({ diffId: result.diffId as DiffId, file: file ?? '' })),
  ];
  using contentLease = content.lease({ purpose: 'build' });
  await layers.register(sources, { lease, signal, keep: (files) => content.keep(files, contentLease) });
  return diffs;
}

function documentOf(
  session: BuildSession,
  state: StageState,
  history: readonly HistoryEntry[],
  diffIds: readonly DiffId[],
): unknown {
  const { platform, config } = state;
  const created = state.created ?? timeOf(session, '1970-01-01T00:00:00.000Z');
  return {
    architecture: platform.architecture,
    ...(platform.variant === undefined || platform.variant === '' ? {} : { variant: platform.variant }),
    os: platform.os,
    ...(config.author === undefined ? {} : { author: config.author }),
    created,
    config: encodeConfig(config.config, session.request.labels),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history,
  };
}

/** Fields in one order, so that the same configuration has the same digest. */
export function encodeConfig(
  config: ImageRunConfig,
  labels: Readonly<Record<string, string>>,
): Record<string, unknown> {
  const all = { ...config.Labels, ...labels };
  const document: Record<string, unknown> = {};
  const put = (name: keyof ImageRunConfig, value: unknown): void => {
    if (value === undefined || value === null || value === '') return;
    if (typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0) return;
    document[name] = value;
  };
  put('User', config.User);
  put('ExposedPorts', sortedObject(config.ExposedPorts));
  put('Env', config.Env);
  put('Entrypoint', config.Entrypoint);
  put('Cmd', config.Cmd);
  put('Volumes', sortedObject(config.Volumes));
  put('WorkingDir', config.WorkingDir);
  put('Labels', sortedObject(all));
  put('StopSignal', config.StopSignal);
  put('Healthcheck', config.Healthcheck);
  if ((config.OnBuild ?? []).length > 0) put('OnBuild', config.OnBuild);
  put('Shell', config.Shell);
  return document;
}

function sortedObject<T>(object: Readonly<Record<string, T>> | null | undefined): Record<string, T> {
  return Object.fromEntries(Object.entries(object ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}
