/** `--squash`: all layers above the base image become one. The history stays, with one entry more that says so. */
import type { HistoryEntry } from '#image/config.ts';
import { chainIdOf, type DiffId, EMPTY_DIFF_ID } from '#layer/chain-id.ts';
import type { LayerLease } from '#layer/layer-store.ts';
import { type BuildSession, rootOf } from './session.ts';
import { timeOf } from './stage.ts';
import type { StageState } from './state.ts';

export async function squashed(
  session: BuildSession,
  state: StageState,
  lease: LayerLease,
): Promise<{ readonly diffIds: readonly DiffId[]; readonly history: readonly HistoryEntry[] }> {
  const { layers, content, held, request, signal } = session;
  const base = state.below.slice(0, state.baseLayers);
  const baseChain = chainIdOf(base);
  // Of caches elsewhere, then the build's own.
  const imported = layers
    .chain(chainIdOf(state.below))
    .slice(0, state.below.length - base.length)
    .reverse();
  const ids = [...imported.map(({ cacheId }) => cacheId), ...state.layers.map(({ snapshot }) => snapshot)];
  const diffIds = [...base];
  if (ids.length > 0) {
    const scratch = held.use(content.scratch());
    const root = rootOf(session, state.on);
    const below = baseChain === undefined ? undefined : rootOf(session, { snapshot: undefined, base: baseChain });
    const secondsMax = request.sourceDateEpoch;
    const result = await layers.captureMerged({ ids, root, below }, scratch.path, { signal, secondsMax });
    // as: a digest that the Worker computed.
    const diffId = result.diffId as DiffId;
    if (diffId !== EMPTY_DIFF_ID) {
      diffIds.push(diffId);
      const sources = [...base.map((known) => ({ diffId: known, file: '' })), { diffId, file: scratch.path }];
      using contentLease = content.lease({ purpose: 'build' });
      await layers.register(sources, { lease, signal, keep: (files) => content.keep(files, contentLease) });
    }
  }
  return { diffIds, history: historyOf(session, state, diffIds.length > base.length) };
}

/** The base image's entries stay; those of the build have no layer any more, but for the last. */
function historyOf(session: BuildSession, state: StageState, hasLayer: boolean): readonly HistoryEntry[] {
  let seen = 0;
  let ofBase = state.history.findIndex(({ empty_layer: isEmpty }) => {
    if (isEmpty !== true) seen += 1;
    return seen > state.baseLayers;
  });
  if (ofBase < 0) ofBase = state.history.length;
  const history = state.history.map(
    ({ layer, ...entry }, index): HistoryEntry =>
      index < ofBase && layer === undefined ? entry : { ...entry, empty_layer: true },
  );
  const created = timeOf(session, session.now().toISOString());
  const comment = `merge ${state.key.slice(0, 12)} to ${state.baseImage === '' ? 'scratch' : state.baseImage}`;
  return hasLayer ? [...history, { created, comment }] : history;
}
