/**
 * COPY of a context that is kept as a tree: recognised by the tree's index, placed from its contents, and over the last
 * full copy to the same place where little differs. What takes real files to say goes the way of every other COPY.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Standing } from '#layer/snapshots.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { dup, open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { throwIfAborted } from '../abort.ts';
import type { AddInstruction, CopyInstruction } from '../dockerfile/instructions.ts';
import type { KeptOutcome, KeptSelection, KeptTree } from '../files/jobs.ts';
import { type BuildSession, rootOf } from '../session.ts';
import type { StageState } from '../state.ts';
import { type CopyPlan, planCopy } from './copy.ts';

type Copying = CopyInstruction | AddInstruction;

export interface KeptCopy {
  readonly kept: KeptTree;
  readonly selection: KeptSelection;
  readonly plan: CopyPlan;
}

/** Undefined where it takes files. Errors: as `planCopy`. */
export async function planKeptCopy(
  session: BuildSession,
  instruction: Copying,
  { tree: kept, ignore }: { readonly tree: KeptTree; readonly ignore: readonly string[] },
  workdir: string | undefined,
): Promise<KeptCopy | undefined> {
  const unpack = instruction.keyword === 'ADD' && instruction.unpack !== false;
  if (instruction.contents.length > 0) return undefined;
  if (instruction.keyword === 'COPY' && instruction.parents) return undefined;
  const { exclude, sources } = instruction;
  const selection = { sources, wildcards: true, ignore, exclude, parents: false };
  const digest = await session.contexts.remembered(kept.generation, [kept.subtree, selection], () =>
    session.files.run<'kept-digest'>({ kind: 'kept-digest', kept, selection }, session.signal),
  );
  if (digest === 'tree') return undefined;
  // Which files are archives their first bytes say.
  if (unpack && digest.matched.some(({ directory }) => !directory)) return undefined;
  const part = { selection: { ...selection, root: -1 }, keepOwners: false, unpack };
  return { kept, selection, plan: await planCopy(session, instruction, [part], workdir, [digest]) };
}

/** The new snapshot; 'tree': nothing was made. */
export async function makeKeptCopy(
  session: BuildSession,
  { on, key }: Pick<StageState, 'on' | 'key'>,
  copy: KeptCopy,
  signal: AbortSignal,
): Promise<KeptOutcome<string>> {
  const { trees } = session;
  // Whoever else wants this step may wait for it when this build has ended: the tree is kept open for it.
  throwIfAborted(session.signal);
  using contents = ownedFd(dup(copy.kept.contents, 3));
  using index = ownedFd(open(copy.kept.index, O.RDONLY));
  const kept = { ...copy.kept, contents: contents.fd, index: `/proc/self/fd/${index.fd}` };
  const own = { ...copy, kept, opened: copy.kept.contents };
  // Copies that lie over each other are overlay's: elsewhere each is a full one, of the contents all the same.
  if (session.layers.driverName !== 'overlay') {
    const made = await placeOn(session, on, own, signal);
    return typeof made === 'string' ? 'tree' : made.snapshot;
  }
  const place = placeOf(key, copy);
  const full = trees.find(place);
  if (full !== undefined) {
    using _held = session.layers.snapshots.hold(full);
    const made = await placeOn(session, { ...on, over: full }, own, signal);
    if (made !== 'full') return made === 'tree' ? made : made.snapshot;
  }
  const made = await placeOn(session, on, own, signal);
  if (made === 'full' || made === 'tree') return 'tree';
  trees.record(place, made.snapshot);
  return made.snapshot;
}

/** Of COPYs that may lie over each other. */
function placeOf(below: string, { plan, selection }: KeptCopy): string {
  const { destination, intoDirectory, chown, mode } = plan;
  const { sources, exclude } = selection;
  const times = plan.timeNs === undefined ? '' : String(plan.timeNs);
  return createHash('sha256')
    .update(JSON.stringify([below, destination, intoDirectory, chown ?? '', mode ?? '', times, sources, exclude]))
    .digest('hex');
}

/** The snapshot, or why there is none. */
type PlacedOn = { readonly snapshot: string } | 'tree' | 'full';

async function placeOn(
  session: BuildSession,
  on: Standing,
  { kept, selection, plan, opened }: KeptCopy & { readonly opened: number },
  signal: AbortSignal,
): Promise<PlacedOn> {
  const { layers, trees } = session;
  const id = randomBytes(32).toString('hex');
  const list = trees.list(id);
  const { snapshot, over } = on;
  const layer = await layers.createReadWrite(id, on.base, { snapshot, over, ofBuild: true });
  try {
    let outcome: KeptOutcome<'placed' | 'full'>;
    {
      using mount = layer.mount();
      const owner = plan.chown === undefined ? { uid: 0, gid: 0 } : session.backend.resolveUser(mount.fd, plan.chown);
      const job = {
        kind: 'kept-place',
        kept,
        selection,
        target: mount.fd,
        destination: plan.destination,
        intoDirectory: plan.intoDirectory,
        owner,
        mode: plan.mode,
        timeNs: plan.timeNs,
        parentOwner: owner,
        over: over === undefined ? '' : trees.list(over),
        below: over === undefined ? -1 : rootOf(session, { snapshot, base: on.base }),
        list,
      } as const;
      outcome = await session.files.run<'kept-place'>(job, signal);
    }
    if (outcome !== 'placed') {
      await layers.releaseReadWrite(id);
      return outcome;
    }
    layers.sealReadWrite(id);
    // Elsewhere the tar is what the driver finds to be different.
    if (session.held.disposed || layers.driverName !== 'overlay') trees.drop(id);
    else {
      session.placed.set(id, { list, contents: opened });
      if (over !== undefined) session.held.defer(() => trees.drop(id));
    }
    failpoint('build.step-sealed');
    return { snapshot: id };
  } catch (error) {
    trees.drop(id);
    await layers.releaseReadWrite(id);
    throw error;
  }
}
