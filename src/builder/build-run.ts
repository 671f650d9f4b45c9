/**
 * One build for one platform: stages side by side, each step after the other. Where caches elsewhere are given, a dry
 * pass tells the keys of all steps first, without any work: stages whose results nobody needs the files of are not run.
 */
import { randomUUID } from 'node:crypto';
import { invalidParameter, messageOf, notFound } from '#errdefs/errors.ts';
import { chainIdOf } from '#layer/chain-id.ts';
import { log } from '#pkg/log/log.ts';
import { BaseImages, type UsedImage } from './base-images.ts';
import { UnusableLayers } from './cache/imported-cache.ts';
import { withPath } from './config.ts';
import { parseTrigger } from './dockerfile/parse.ts';
import { findStage, globalScope, platformArgs, resolveFrom, StageScope } from './dockerfile/scope.ts';
import { shownText } from './dockerfile/expand.ts';
import type { Dockerfile, Stage } from './dockerfile/instructions.ts';
import { Captures } from './image.ts';
import { nameOf, type Plan } from './dockerfile/plan.ts';
import { formatPlatform, type HostPlatform, platformOf } from './platform.ts';
import { type BuildSession, rootOf, sourceOfContext } from './session.ts';
import { NotTold, step } from './stage.ts';
import type { StageState } from './state.ts';
import type { StepSource } from './steps/source.ts';
import { exportedDigest } from './steps/ensure.ts';

/** A state after a step that has a key. */
export interface TracedStep {
  readonly state: StageState;
  /** Origin of the state before it. */
  readonly parent: string;
}

export interface DryStep {
  readonly origin: string;
  readonly parent: string;
}

export interface TracedStage {
  readonly stage: Stage;
  /** The stage that it is FROM. */
  readonly from: Stage | undefined;
  readonly state: StageState;
  readonly steps: readonly TracedStep[];
}

interface From {
  readonly state: StageState;
  readonly triggers: readonly string[];
  readonly from: Stage | undefined;
}

/** Whose states are asked for: of the build, or of the dry pass. */
type StateOf = (stage: Stage) => Promise<StageState>;

export interface RunOptions {
  readonly session: BuildSession;
  readonly file: Dockerfile;
  readonly plan: Plan;
  /** One of several platforms: its steps say so. */
  readonly platform: HostPlatform;
  readonly isOneOfMany: boolean;
  readonly fail: (error: unknown) => void;
}

export class BuildRun {
  readonly session: BuildSession;
  readonly #file: Dockerfile;
  readonly #plan: Plan;
  readonly #options: RunOptions;
  readonly #stages = new Map<number, Promise<StageState>>();
  readonly #dry = new Map<number, Promise<StageState>>();
  readonly #drySteps = new Map<number, DryStep[]>();
  readonly #images: BaseImages;
  readonly #sources = new Map<string, Promise<StepSource>>();
  readonly #traced = new Map<number, TracedStage>();
  readonly captures: Captures;

  constructor(options: RunOptions) {
    this.#options = options;
    this.session = options.session;
    this.#file = options.file;
    this.#plan = options.plan;
    this.captures = new Captures(options.session);
    this.#images = new BaseImages(options.session);
  }

  get platform(): HostPlatform {
    return this.#options.platform;
  }

  /** The target's state. Others that were needed are over then; a failure of one is the build's. */
  async run(): Promise<StageState> {
    this.#announce();
    const { stages, target } = this.#plan;
    const needed = this.session.imported.isEmpty ? stages : await this.#needed();
    for (const { stage } of needed) this.#stage(stage).catch(() => undefined);
    const state = await this.#stage(target);
    this.#tellSkipped();
    return state;
  }

  /** What was run, in the order of the file. */
  traced(): readonly TracedStage[] {
    return this.#plan.stages.flatMap(({ stage }) => this.#traced.get(stage.index) ?? []);
  }

  /** Steps of stages that were not run: by their origins alone. */
  skipped(): readonly DryStep[] {
    return [...this.#drySteps].flatMap(([index, steps]) => (this.#stages.has(index) ? [] : steps));
  }

  /** In the order of their names. Preconditions: it is over. */
  usedImages(): Promise<UsedImage[]> {
    return this.#images.used(formatPlatform(this.platform));
  }

  get target(): Stage {
    return this.#plan.target;
  }

  /** Nothing of it is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#stages.values());
    await Promise.allSettled(this.#dry.values());
    await Promise.allSettled(this.#sources.values());
    await this.captures.settled();
  }

  #vertex(stage: Stage, index: number): string {
    return `${this.#prefix}${stage.index}.${index}`;
  }

  get #prefix(): string {
    return this.#options.isOneOfMany ? `${formatPlatform(this.platform)}.` : '';
  }

  #announce(): void {
    const { progress } = this.session.control;
    const { total, stages } = this.#plan;
    let number = 0;
    const tell = (id: string, name: string, stage: string, instruction: string): void => {
      number += 1;
      progress.vertex({ id, name, instruction, number, total, stage, inputs: [] });
    };
    const shown = this.#options.isOneOfMany ? `${formatPlatform(this.platform)} ` : '';
    for (const [index, { text }] of this.#file.globalArgs.entries()) {
      tell(`${this.#prefix}global.${index}`, `[internal] ${text}`, '', text);
    }
    for (const { stage, name } of stages) {
      const count = stage.instructions.length + 1;
      const named = stages.length > 1 || stage.from.stage !== undefined ? `${name} ` : '';
      const title = (at: number, text: string): string => `[${shown}${named}${at}/${count}] ${text}`;
      tell(this.#vertex(stage, 0), title(1, stage.from.text), name, stage.from.text);
      for (const [index, { text }] of stage.instructions.entries()) {
        tell(this.#vertex(stage, index + 1), title(index + 2, text), name, text);
      }
    }
    for (const index of this.#file.globalArgs.keys()) {
      progress.started(`${this.#prefix}global.${index}`);
      progress.ended(`${this.#prefix}global.${index}`, 'done', {});
    }
  }

  /** Stages whose files nobody needed: what was made of them is in a cache elsewhere. */
  #tellSkipped(): void {
    const { progress } = this.session.control;
    for (const { stage } of this.#plan.stages) {
      if (this.#stages.has(stage.index)) continue;
      for (let index = 0; index <= stage.instructions.length; index++) {
        progress.started(this.#vertex(stage, index));
        progress.ended(this.#vertex(stage, index), 'cached', {});
      }
    }
  }

  #stage(stage: Stage): Promise<StageState> {
    let running = this.#stages.get(stage.index);
    if (running === undefined) {
      running = this.#runStage(stage).catch((error: unknown) => {
        this.#options.fail(error);
        throw error;
      });
      this.#stages.set(stage.index, running);
    }
    return running;
  }

  async #runStage(stage: Stage): Promise<StageState> {
    const { control } = this.session;
    const isTarget = stage === this.#plan.target;
    const first = this.#vertex(stage, 0);
    let { state, triggers, from } = await this.#told(
      first,
      async () => {
        const found = await this.#from(stage, first, (other) => this.#stage(other));
        const { length } = found.triggers;
        const line = `# Executing ${length} build ${length === 1 ? 'trigger' : 'triggers'}\n`;
        if (length > 0) control.progress.log(first, 1, Buffer.from(line));
        return found;
      },
      (found) => found.state,
    );
    const steps: TracedStep[] = [];
    for (const { vertex, instruction, run } of this.#stepsOf(stage, triggers, false)) {
      const before = state;
      if (vertex !== first) control.progress.expanded?.(vertex, shownText(this.#file, instruction.text, before.scope));
      state = await this.#told(
        vertex,
        () => step(run, before, instruction),
        (after) => after,
      );
      if (state.origin !== before.origin || state.key !== before.key) steps.push({ state, parent: before.origin });
      const made = state.layers.at(-1);
      if (isTarget && made !== undefined && made !== before.layers.at(-1)) this.captures.begin(made);
    }
    this.#traced.set(stage.index, { stage, from, state, steps });
    return state;
  }

  #stepsOf(stage: Stage, triggers: readonly string[], dry: boolean) {
    const { request } = this.session;
    const useCache = !request.noCache && !request.noCacheStages.some((name) => isNamed(stage, name));
    const first = this.#vertex(stage, 0);
    const all = [
      ...triggers.map((trigger) => ({ vertex: first, instruction: parseTrigger(trigger, stage.from.base) })),
      ...stage.instructions.map((instruction, index) => ({ vertex: this.#vertex(stage, index + 1), instruction })),
    ];
    return all.map(({ vertex, instruction }, index) => ({
      vertex,
      instruction,
      run: {
        session: this.session,
        file: this.#file,
        vertex,
        place: `${this.#prefix}${request.dockerfile.name}\0${nameOf(stage)}\0${index}\0${instruction.keyword}`,
        useCache,
        sourceOf: (name: string) => this.#source(name, stage),
        dry,
      },
    }));
  }

  /** Stages that have to be run: the target, and those whose files a step needs that no cache elsewhere has. */
  async #needed(): Promise<Plan['stages']> {
    const { stages, target } = this.#plan;
    const needed = new Set<number>();
    const need = async (stage: Stage): Promise<void> => {
      if (needed.has(stage.index)) return;
      needed.add(stage.index);
      await this.#dryState(stage);
      for (const other of this.#wanted.get(stage.index) ?? []) await need(other);
    };
    await need(target);
    return stages.filter(({ stage }) => needed.has(stage.index));
  }

  /** Stages whose files a stage needs, found by its dry pass. */
  readonly #wanted = new Map<number, Set<Stage>>();

  #dryState(stage: Stage): Promise<StageState> {
    let found = this.#dry.get(stage.index);
    if (found === undefined) {
      found = this.#dryRun(stage);
      found.catch(() => undefined);
      this.#dry.set(stage.index, found);
    }
    return found;
  }

  async #dryRun(stage: Stage): Promise<StageState> {
    const wanted = new Set<Stage>();
    this.#wanted.set(stage.index, wanted);
    const {
      state: begin,
      triggers,
      from,
    } = await this.#from(stage, this.#vertex(stage, 0), (other) => this.#dryState(other));
    if (from !== undefined) wanted.add(from);
    let state = begin;
    let isTold = true;
    const steps: DryStep[] = [];
    this.#drySteps.set(stage.index, steps);
    for (const { instruction, run } of this.#stepsOf(stage, triggers, true)) {
      const used = new Set<Stage>();
      const sourceOf = (name: string): Promise<StepSource> => {
        const other = this.#stageNamed(name, stage);
        if (other !== undefined) used.add(other);
        return run.sourceOf(name);
      };
      const before = state;
      try {
        state = await step({ ...run, sourceOf }, before, instruction);
      } catch (error) {
        // What is wrong with it is told when it is run.
        if (this.session.signal.aborted) throw error;
        if (!(error instanceof NotTold)) log.debug('the keys of a stage cannot be told', { err: messageOf(error) });
        isTold = false;
        state = { ...before, origin: `unknown ${randomUUID()}` };
      }
      const isFound = isTold && run.useCache && this.session.imported.has(exportedDigest(this.session, state.origin));
      if (state.origin !== before.origin) steps.push({ origin: state.origin, parent: before.origin });
      if (!isFound) for (const other of used) wanted.add(other);
    }
    return state;
  }

  /** With its beginning and end told; a step that has told its end itself is not told again. */
  async #told<T>(vertex: string, work: () => Promise<T>, stateOf: (result: T) => StageState): Promise<T> {
    const { progress } = this.session.control;
    progress.started(vertex);
    try {
      const result = await work();
      progress.ended(vertex, 'done', { state: shortName(stateOf(result)) });
      return result;
    } catch (error) {
      // The build begins again without it.
      if (error instanceof UnusableLayers || this.session.signal.reason instanceof UnusableLayers) throw error;
      // Whatever it says then: the step that the build failed at has told so before.
      const outcome = this.session.signal.aborted ? 'cancelled' : 'failed';
      progress.ended(vertex, outcome, {
        error: error instanceof Error ? error.message : String(error),
        failure: error,
      });
      throw error;
    }
  }

  #stageNamed(name: string, before: Stage): Stage | undefined {
    const { named } = this.session.request;
    if ((named.get(name.toLowerCase()) ?? named.get(name)) !== undefined) return undefined;
    return findStage(this.#file, name, before.index);
  }

  async #from(stage: Stage, vertex: string, stateOf: StateOf): Promise<From> {
    const { request, backend } = this.session;
    const buildArgs = new Map(Object.entries(request.args));
    const target = this.platform;
    const predefined = platformArgs(backend.platform, target, nameOf(this.#plan.target));
    const global = globalScope(this.#file, buildArgs, predefined);
    const { base, platform } = resolveFrom(this.#file, stage, global);
    const wanted = platform === undefined ? target : platformOf(platform, backend.platform);
    const named = request.named.get(base.toLowerCase()) ?? request.named.get(base);
    const earlier = this.#stageNamed(base, stage);
    if (earlier !== undefined && !/^\d+$/.test(base)) {
      const state = await stateOf(earlier);
      const scope = new StageScope(global, buildArgs, state.scope.imageEnvironment, state.scope);
      const { OnBuild, ...config } = state.config.config;
      const inherited = { ...state, scope, config: { ...state.config, config, hasCommand: false } };
      return { state: inherited, triggers: OnBuild ?? [], from: earlier };
    }
    if (named?.kind === 'files') throw invalidParameter(`the context "${base}" has files and is no image`);
    if (base === 'scratch' && named === undefined) {
      const config = { config: withPath({}), author: undefined, hasCommand: false };
      const scope = new StageScope(global, buildArgs, environmentOf(config.config.Env));
      const state = { ...emptyState, config, scope, platform: { ...wanted, variant: wanted.variant } };
      return { state, triggers: [], from: undefined };
    }
    const reference = named?.kind === 'image' ? named.reference : base;
    const image = await this.#images.find(reference, platform ?? request.platform, (text) =>
      this.session.control.progress.log(vertex, 1, Buffer.from(text)),
    );
    const { OnBuild, ...config } = withPath(image.config.config ?? {});
    const scope = new StageScope(global, buildArgs, environmentOf(config.Env));
    const { os, architecture, variant, rootfs, history, created, author } = image.config;
    const key = `base:${chainIdOf(rootfs.diff_ids) ?? 'scratch'}`;
    return {
      state: {
        on: { snapshot: undefined, base: chainIdOf(rootfs.diff_ids) },
        key,
        origin: key,
        below: rootfs.diff_ids,
        baseLayers: rootfs.diff_ids.length,
        layers: [],
        history,
        config: { config, author, hasCommand: false },
        scope,
        platform: { os, architecture, variant },
        created,
        baseImage: image.id,
      },
      triggers: OnBuild ?? [],
      from: undefined,
    };
  }

  #source(name: string, stage: Stage): Promise<StepSource> {
    const key = `${stage.index}\0${name}`;
    let found = this.#sources.get(key);
    if (found === undefined) {
      found = this.#findSource(name, stage);
      this.#sources.set(key, found);
    }
    return found;
  }

  async #findSource(name: string, stage: Stage): Promise<StepSource> {
    const { request, control, chains } = this.session;
    const named = request.named.get(name.toLowerCase()) ?? request.named.get(name);
    if (named?.kind === 'files') {
      return sourceOfContext(this.session, named.context, name, []);
    }
    const earlier = this.#stageNamed(name, stage);
    if (earlier !== undefined) return this.#stageSource(earlier);
    if (named === undefined && findStage(this.#file, name) !== undefined) {
      throw invalidParameter(`invalid from flag value ${name}: a stage can only use stages before it`);
    }
    if (named === undefined && /^\d+$/.test(name))
      throw invalidParameter(`invalid from flag value ${name}: invalid stage index ${name}`);
    const reference = named?.kind === 'image' ? named.reference : name;
    const { chainId } = await this.#images.find(reference, request.platform, (text) => control.progress.note(text));
    if (chainId === undefined) throw notFound(`image "${reference}" has no files`);
    const on = { snapshot: undefined, base: chainId };
    const root = memoized(async () => {
      await chains.need(on);
      return rootOf(this.session, on);
    });
    return { origin: `base:${chainId}`, isHere: () => chains.isHere(on), root, on: async () => on };
  }

  /** With caches elsewhere its origin is told by the dry pass, and it is run only when its files are wanted. */
  async #stageSource(stage: Stage): Promise<StepSource> {
    const { chains, imported } = this.session;
    let state = imported.isEmpty ? await this.#stage(stage) : undefined;
    const origin = state?.origin ?? (await this.#dryState(stage)).origin;
    const made = memoized(async () => {
      state = await this.#stage(stage);
      return state.on;
    });
    return {
      origin,
      isHere: () => state !== undefined && chains.isHere(state.on),
      on: made,
      root: memoized(async () => {
        const on = await made();
        await chains.need(on);
        return rootOf(this.session, on);
      }),
    };
  }
}

/** Of the files that a state has: an image's id, or a name of the cache. */
const shortName = ({ layers, key, baseImage }: StageState): string =>
  layers.length > 0 ? key.slice(0, 12) : baseImage.slice('sha256:'.length, 'sha256:'.length + 12);

function memoized<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => {
    running ??= work();
    return running;
  };
}

const emptyState = {
  on: { snapshot: undefined, base: undefined },
  key: 'scratch',
  origin: 'scratch',
  below: [],
  baseLayers: 0,
  layers: [],
  history: [],
  created: undefined,
  baseImage: '',
} as const;

const isNamed = (stage: Stage, name: string): boolean =>
  stage.from.stage === name.toLowerCase() || String(stage.index) === name;

function environmentOf(env: readonly string[] | null | undefined): Map<string, string> {
  return new Map(
    (env ?? []).map((entry) => {
      const at = entry.indexOf('=');
      return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}
