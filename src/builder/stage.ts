/** One stage: its instructions one after the other, each making a new state. Stages wait for those that they name. */
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { HistoryEntry } from '#image/config.ts';
import { log } from '#pkg/log/log.ts';
import { chainIdOf, type DiffId, EMPTY_DIFF_ID } from '#layer/chain-id.ts';
import { throwIfAborted } from './abort.ts';
import { keyOf, type Meaning } from './cache.ts';
import { applyInstruction, resolvePath } from './config.ts';
import { expandInstruction, mountsOf } from './dockerfile/expand.ts';
import type {
  AddInstruction,
  CopyInstruction,
  Dockerfile,
  RunInstruction,
  StageInstruction,
} from './dockerfile/instructions.ts';
import { CommandFailed } from './errors.ts';
import type { BuildSession } from './session.ts';
import { rootOf, sourceOfContext } from './session.ts';
import type { StageState } from './state.ts';
import type { StepSource } from './steps/source.ts';
import { carryOut, type CopyPlan, digestOf, meaningOfCopy, originOfCopy, partsOf, planCopy } from './steps/copy.ts';
import { type KeptCopy, makeKeptCopy, planKeptCopy } from './steps/copy-kept.ts';
import { ensureStep, lookUp, stackOf, type StepResult, type StepWork } from './steps/ensure.ts';
import { makeSnapshot } from './steps/files.ts';
import {
  commandOf,
  environmentOf,
  historyOf,
  networkOf,
  openMounts,
  type PlannedMount,
  privilegeOf,
  requestOf,
  type RunPlan,
  targetOf,
} from './steps/run.ts';
import { makeWorkdir } from './steps/workdir.ts';

/** Where `--from` and `from=` lead. */
export type SourceOf = (name: string) => Promise<StepSource>;

/** Of a step without its work: what it means depends on what only the work can tell. */
export class NotTold extends Error {}

export interface StageRun {
  readonly session: BuildSession;
  readonly file: Dockerfile;
  /** Of the vertex. */
  readonly vertex: string;
  readonly place: string;
  readonly useCache: boolean;
  readonly sourceOf: SourceOf;
  /** Only the keys are wanted; see build-run.ts. */
  readonly dry: boolean;
}

/** The state after an instruction. Errors: the step's; CommandFailed. */
export async function step(run: StageRun, state: StageState, written: StageInstruction): Promise<StageState> {
  const { session } = run;
  throwIfAborted(session.signal);
  const { value: instruction } = expandInstruction(run.file, written, state.scope.environment);
  const { keyword } = instruction;
  if (keyword === 'RUN') return runStep(run, state, instruction);
  if (keyword === 'COPY' || keyword === 'ADD') return copyStep(run, state, instruction);
  if (keyword === 'WORKDIR') return workdirStep(run, state, instruction);
  if (keyword === 'ARG') {
    state.scope.declare(instruction);
    return described(state, instruction.text);
  }
  if (keyword === 'STOPSIGNAL') session.backend.checkSignal(instruction.signal);
  if (keyword === 'ENV') for (const { name, value } of instruction.pairs) state.scope.set(name, value);
  return described({ ...state, config: applyInstruction(state.config, instruction) }, instruction.text);
}

/** An entry of the history without a layer. */
function described(state: StageState, text: string): StageState {
  const entry: HistoryEntry = { created: state.created, created_by: text, empty_layer: true };
  return { ...state, history: [...state.history, entry] };
}

/** A step that may have changed files. */
function advanced(session: BuildSession, state: StageState, text: string, result: StepResult): StageState {
  const created = timeOf(session, result.createdAt);
  if (result.stack !== undefined) return onStack(session, state, text, { ...result, stack: result.stack });
  if (result.snapshot === state.on.snapshot) {
    const entry: HistoryEntry = { created, created_by: text, empty_layer: true };
    return { ...state, key: result.key, origin: result.origin, created, history: [...state.history, entry] };
  }
  const layer = { snapshot: result.snapshot, key: result.key };
  return {
    ...state,
    on: { snapshot: result.snapshot, base: state.on.base },
    key: result.key,
    origin: result.origin,
    created,
    layers: [...state.layers, layer],
    history: [...state.history, { created, created_by: text, layer }],
  };
}

/** A result that is a stack of layers: what was made below it is in the stack. */
function onStack(
  session: BuildSession,
  state: StageState,
  text: string,
  { key, origin, stack, createdAt }: StepResult & { readonly stack: readonly DiffId[] },
): StageState {
  const created = timeOf(session, createdAt);
  const isEmpty = stack.length === stackOf(session, state)?.length;
  const entry: HistoryEntry = { created, created_by: text, ...(isEmpty ? { empty_layer: true } : {}) };
  if (isEmpty) return { ...state, key, origin, created, history: [...state.history, entry] };
  const history = state.history.map(({ layer, ...rest }): HistoryEntry => {
    const isNothing = layer !== undefined && session.cache.get(layer.key)?.diffId === EMPTY_DIFF_ID;
    return isNothing ? { ...rest, empty_layer: true } : rest;
  });
  const on = { snapshot: undefined, base: chainIdOf(stack) };
  return { ...state, on, key, origin, below: stack, layers: [], created, history: [...history, entry] };
}

export function timeOf({ request }: BuildSession, time: string): string {
  const { sourceDateEpoch } = request;
  return sourceDateEpoch === undefined ? time : new Date(sourceDateEpoch * 1000).toISOString().replace('.000Z', 'Z');
}

function tell(run: StageRun, result: StepResult): void {
  if (run.dry) return;
  run.session.control.progress.ended(run.vertex, result.cached ? 'cached' : 'done', {
    state: result.key.slice(0, 12),
    ...(result.from === undefined ? {} : { from: result.from }),
  });
}

async function runStep(run: StageRun, state: StageState, instruction: RunInstruction): Promise<StageState> {
  const { session, vertex } = run;
  const { request, backend } = session;
  const { args, file } = commandOf(instruction, state);
  const { meant, proxies } = environmentOf(state);
  const mounts = await plannedMounts(run, state, instruction);
  const network = networkOf(session, instruction);
  const privileged = privilegeOf(session, instruction);
  if (instruction.devices.length > 0) {
    throw invalidParameter('RUN --device is not supported: devices of the host are not for builds');
  }
  const plan: RunPlan = { args, shown: args, env: [...meant, ...proxies], mounts, network, privileged };
  const { config } = state.config;
  const meaningBy = async (digestOf: (mount: PlannedMount) => Promise<string> | string): Promise<Meaning> => ({
    kind: 'run',
    command: args,
    script: file === undefined ? '' : Buffer.from(file).toString(),
    environment: [...meant].sort(),
    user: config.User ?? '',
    directory: config.WorkingDir ?? '',
    network: network === request.networkMode && !['host', 'none'].includes(network) ? 'default' : network,
    privileged,
    hosts: request.extraHosts,
    ...(request.securityOptions.length === 0 ? {} : { security: request.securityOptions }),
    platform: state.platform,
    mounts: await Promise.all(
      mounts.map(async (planned) => {
        const { mount, target } = planned;
        return [mount.type, target, await digestOf(planned), mount.readOnly, mount.source ?? '', mount.env ?? ''];
      }),
    ),
  });
  const isOfStage = ({ mount, source }: PlannedMount): boolean => mount.type === 'bind' && source?.origin !== undefined;
  const result = await ensureStep(session, {
    vertex,
    description: `RUN ${args.join(' ')}`,
    parent: state,
    meaning: () => meaningBy(({ digest }) => digest()),
    origin: mounts.some(isOfStage)
      ? await meaningBy((planned) => (isOfStage(planned) ? `from ${planned.source?.origin}` : planned.digest()))
      : undefined,
    isAway: () => mounts.some((planned) => isOfStage(planned) && planned.source?.isHere() === false),
    place: run.place,
    useCache: run.useCache,
    dry: run.dry,
    make: async (signal, output) => {
      requireRunnable(session, state, historyOf(args, state));
      await using stack = new AsyncDisposableStack();
      const opened = await openMounts(session, plan, stack, signal);
      const script =
        file === undefined
          ? []
          : [{ kind: 'secret' as const, target: args[0] ?? '', value: file, uid: 0, gid: 0, mode: 0o755 }];
      const outcome = await backend.run({
        ...requestOf(session, state, plan),
        mounts: [...opened.mounts, ...script, ...request.binds.map(hostBind)],
        secretEnv: opened.secretEnv,
        started: (container) => session.control.progress.container(vertex, container),
        gone: (container) => session.control.progress.containerGone(vertex, container),
        output,
        signal,
      });
      if (outcome.snapshot === undefined) throw new CommandFailed(args, outcome.exitCode, outcome.oomKilled);
      return outcome.snapshot;
    },
  });
  tell(run, result);
  return advanced(session, state, historyOf(args, state), result);
}

/** Errors: invalid-parameter naming the step and what is missing. */
function requireRunnable({ backend }: BuildSession, { platform }: StageState, step: string): void {
  const { os, architecture } = platform;
  if (backend.runnable(architecture)) return;
  const shown = step.length > 200 ? `${step.slice(0, 200)}…` : step;
  throw invalidParameter(
    `Cannot run programs of ${os}/${architecture} on this host, for "${shown}": no interpreter is registered in ` +
      'binfmt_misc. Install one (Debian: apt-get install qemu-user-static binfmt-support), or build that step in a ' +
      'stage of this host: FROM --platform=$BUILDPLATFORM',
  );
}

/** `HOST:CONTAINER[:ro]`. */
function hostBind(bind: string): { readonly kind: 'host'; readonly source: string; readonly target: string } {
  const [source = '', target = ''] = bind.split(':');
  return { kind: 'host', source, target };
}

async function plannedMounts(run: StageRun, state: StageState, instruction: RunInstruction): Promise<PlannedMount[]> {
  const { session } = run;
  const { value: mounts } = mountsOf(run.file, instruction, state.scope.environment);
  const planned: PlannedMount[] = [];
  for (const [index, mount] of mounts.entries()) {
    const target = targetOf(mount, state.config.config.WorkingDir, index);
    if (mount.type !== 'bind' && !(mount.type === 'cache' && mount.from !== undefined)) {
      planned.push({ mount, target, source: undefined, digest: async () => '' });
      continue;
    }
    const source =
      mount.from === undefined ? ofContext(session, [mount.source ?? '/']) : await run.sourceOf(mount.from);
    const ignore = mount.from === undefined ? session.request.ignore : [];
    const digest = async (): Promise<string> => {
      if (mount.type === 'cache') return '';
      const root = await source.root();
      const sources = [mount.source ?? '/'];
      const selection = { root, sources, wildcards: false, ignore, exclude: [], parents: false };
      return (await digestOf(session, { kind: 'digest', selection, owners: true, archives: false })).digest;
    };
    planned.push({ mount, target, source, digest });
  }
  return planned;
}

const ofContext = (session: BuildSession, sources: readonly string[]): StepSource =>
  sourceOfContext(session, session.request.context, undefined, sources);

async function copyStep(
  run: StageRun,
  state: StageState,
  instruction: CopyInstruction | AddInstruction,
): Promise<StageState> {
  const { session, vertex } = run;
  const { config } = state.config;
  let source: StepSource | undefined;
  const remote: string[] = [];
  let local = instruction;
  if (instruction.keyword === 'ADD') {
    const { isRemote } = await import('./steps/remote.ts');
    remote.push(...instruction.sources.filter(isRemote));
    local = { ...instruction, sources: instruction.sources.filter((name) => !isRemote(name)) };
  }
  // Only what is fetched says what it is.
  if (run.dry && remote.length > 0) throw new NotTold();
  if (instruction.keyword === 'COPY' && instruction.from !== undefined) {
    source = await run.sourceOf(instruction.from);
  } else if (local.sources.length > 0) source = ofContext(session, local.sources);
  const isFrom = instruction.keyword === 'COPY' && instruction.from !== undefined;
  let kept: KeptCopy | undefined;
  let planned: Promise<CopyPlan> | undefined;
  const plan = (ofFiles: boolean): Promise<CopyPlan> => {
    planned ??= (async () => {
      const keptTree = remote.length > 0 || ofFiles ? undefined : await source?.kept?.();
      if (keptTree !== undefined) {
        kept = await planKeptCopy(session, local, keptTree, config.WorkingDir);
        if (kept !== undefined) return kept.plan;
      }
      const from = source === undefined ? undefined : { root: await source.root(), ofContext: !isFrom };
      const parts = partsOf(session, local, from);
      if (remote.length > 0 && instruction.keyword === 'ADD') {
        const { fetchSources } = await import('./steps/remote.ts');
        parts.push(...(await fetchSources(session, vertex, instruction, remote)));
      }
      return planCopy(session, instruction, parts, config.WorkingDir);
    })();
    return planned;
  };
  const result = await ensureStep(session, {
    vertex,
    description: instruction.text,
    parent: state,
    meaning: async () => meaningOfCopy(await plan(false)),
    origin:
      source?.origin === undefined || instruction.keyword === 'ADD'
        ? undefined
        : originOfCopy(session, instruction, source.origin, config.WorkingDir),
    isAway: () => source?.isHere() === false,
    place: run.place,
    useCache: run.useCache,
    dry: run.dry,
    make: async (signal) => {
      await plan(false);
      const made = kept === undefined ? 'tree' : await makeKeptCopy(session, state, kept, signal);
      if (made !== 'tree') return made;
      if (kept !== undefined) planned = undefined;
      const files = await plan(true);
      return makeSnapshot(session, state.on, (root) => carryOut(session, files, root, signal));
    },
  });
  tell(run, result);
  return advanced(session, state, instruction.text, result);
}

async function workdirStep(
  run: StageRun,
  state: StageState,
  instruction: Extract<StageInstruction, { keyword: 'WORKDIR' }>,
): Promise<StageState> {
  const { session, vertex } = run;
  const next = { ...state, config: applyInstruction(state.config, instruction) };
  const path = resolvePath(state.config.config.WorkingDir, instruction.path);
  const user = state.config.config.User ?? '';
  const meaning = { kind: 'workdir', path, user };
  // Where it came about counts for the origin, whether it was there or not: that cannot be told without files.
  const origin = keyOf({ ...meaning, below: state.origin });
  const work: StepWork = {
    vertex,
    description: instruction.text,
    parent: state,
    meaning: async () => meaning,
    place: run.place,
    useCache: run.useCache,
    dry: run.dry,
    make: (signal) => makeSnapshot(session, state.on, (root) => makeWorkdir(session, root, path, user, signal)),
  };
  if (!run.dry && !session.chains.isHere(state.on)) {
    const looked = await lookUp(session, work);
    if ('result' in looked) {
      tell(run, looked.result);
      const { stack } = looked.result;
      if (stack !== undefined && stack.length === stackOf(session, state)?.length) {
        return { ...described(next, instruction.text), origin };
      }
      return advanced(session, next, instruction.text, looked.result);
    }
    await session.chains.need(state.on);
  }
  if (!run.dry && (await isThere(session, state, path))) return { ...described(next, instruction.text), origin };
  const result = await ensureStep(session, work);
  tell(run, result);
  return advanced(session, next, instruction.text, result);
}

async function isThere(session: BuildSession, state: StageState, path: string): Promise<boolean> {
  if (path === '/') return true;
  if (state.on.snapshot === undefined && state.on.base === undefined) return false;
  const { directoryExists } = await import('./steps/workdir.ts');
  try {
    return directoryExists(rootOf(session, state.on), path);
  } catch (error) {
    log.debug('the directory of a WORKDIR could not be looked at', { path, err: messageOf(error) });
    return false;
  }
}
