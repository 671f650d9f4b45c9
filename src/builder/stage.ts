/** One stage: its instructions one after the other, each making a new state. Stages wait for those that they name. */
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { HistoryEntry } from '#image/config.ts';
import { log } from '#pkg/log/log.ts';
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
import { contextRoot, rootOf, throwIfAborted } from './session.ts';
import type { StageState } from './state.ts';
import { carryOut, meaningOfCopy, partsOf, planCopy } from './steps/copy.ts';
import { ensureStep, type StepResult } from './steps/ensure.ts';
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
export type SourceOf = (
  name: string,
) => Promise<{ readonly root: number; readonly digest: string; readonly on: StageState['on'] | undefined }>;

export interface StageRun {
  readonly session: BuildSession;
  readonly file: Dockerfile;
  /** Of the vertex. */
  readonly vertex: string;
  readonly place: string;
  readonly useCache: boolean;
  readonly sourceOf: SourceOf;
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
  if (result.snapshot === state.on.snapshot) {
    const entry: HistoryEntry = { created, created_by: text, empty_layer: true };
    return { ...state, key: result.key, created, history: [...state.history, entry] };
  }
  const layer = { snapshot: result.snapshot, key: result.key };
  return {
    ...state,
    on: { snapshot: result.snapshot, base: state.on.base },
    key: result.key,
    created,
    layers: [...state.layers, layer],
    history: [...state.history, { created, created_by: text, layer }],
  };
}

export function timeOf({ request }: BuildSession, time: string): string {
  const { sourceDateEpoch } = request;
  return sourceDateEpoch === undefined ? time : new Date(sourceDateEpoch * 1000).toISOString().replace('.000Z', 'Z');
}

function tell(run: StageRun, result: StepResult): void {
  run.session.control.progress.ended(run.vertex, result.cached ? 'cached' : 'done', { state: result.key.slice(0, 12) });
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
  if (!backend.runnable(state.platform.architecture)) {
    throw invalidParameter(
      `Cannot run programs of ${state.platform.os}/${state.platform.architecture} on this host: no interpreter is registered in binfmt_misc`,
    );
  }
  const plan: RunPlan = { args, shown: args, env: [...meant, ...proxies], mounts, network, privileged };
  const { config } = state.config;
  const meaning = {
    kind: 'run',
    command: args,
    script: file === undefined ? '' : Buffer.from(file).toString(),
    environment: [...meant].sort(),
    user: config.User ?? '',
    directory: config.WorkingDir ?? '',
    network: network === request.networkMode && !['host', 'none'].includes(network) ? 'default' : network,
    privileged,
    hosts: request.extraHosts,
    platform: state.platform,
    mounts: mounts.map(({ mount, target, digest }) => [
      mount.type,
      target,
      digest,
      mount.readOnly,
      mount.source ?? '',
      mount.env ?? '',
    ]),
  };
  const result = await ensureStep(session, {
    vertex,
    description: `RUN ${args.join(' ')}`,
    parent: state,
    meaning,
    place: run.place,
    useCache: run.useCache,
    make: async (signal, output) => {
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
      planned.push({ mount, target, from: undefined, digest: '' });
      continue;
    }
    const source =
      mount.from === undefined
        ? { root: await contextRoot(session, session.request.context), on: undefined }
        : await run.sourceOf(mount.from);
    const selection = {
      root: source.root,
      sources: [mount.source ?? '/'],
      wildcards: false,
      ignore: mount.from === undefined ? session.request.ignore : [],
      exclude: [],
      parents: false,
    };
    const digest =
      mount.type === 'cache'
        ? ''
        : (await session.files.digest({ kind: 'digest', selection, owners: true, archives: false }, session.signal))
            .digest;
    const from = source.on === undefined ? { root: source.root } : { on: source.on };
    planned.push({ mount, target, from, digest });
  }
  return planned;
}

async function copyStep(
  run: StageRun,
  state: StageState,
  instruction: CopyInstruction | AddInstruction,
): Promise<StageState> {
  const { session, vertex } = run;
  const { config } = state.config;
  let from: { root: number; ofContext: boolean } | undefined;
  const remote: string[] = [];
  let local = instruction;
  if (instruction.keyword === 'ADD') {
    const { isRemote } = await import('./steps/remote.ts');
    remote.push(...instruction.sources.filter(isRemote));
    local = { ...instruction, sources: instruction.sources.filter((source) => !isRemote(source)) };
  }
  if (instruction.keyword === 'COPY' && instruction.from !== undefined) {
    from = { root: (await run.sourceOf(instruction.from)).root, ofContext: false };
  } else if (local.sources.length > 0) {
    from = { root: await contextRoot(session, session.request.context), ofContext: true };
  }
  const parts = partsOf(session, local, from);
  if (remote.length > 0 && instruction.keyword === 'ADD') {
    const { fetchSources } = await import('./steps/remote.ts');
    parts.push(...(await fetchSources(session, vertex, instruction, remote)));
  }
  const plan = await planCopy(session, instruction, parts, config.WorkingDir);
  const result = await ensureStep(session, {
    vertex,
    description: instruction.text,
    parent: state,
    meaning: meaningOfCopy(plan),
    place: run.place,
    useCache: run.useCache,
    make: (signal) => makeSnapshot(session, state.on, (root) => carryOut(session, plan, root, signal)),
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
  if (await isThere(session, state, path)) return described(next, instruction.text);
  const result = await ensureStep(session, {
    vertex,
    description: instruction.text,
    parent: state,
    meaning: { kind: 'workdir', path, user },
    place: run.place,
    useCache: run.useCache,
    make: (signal) => makeSnapshot(session, state.on, (root) => makeWorkdir(session, root, path, user, signal)),
  });
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
