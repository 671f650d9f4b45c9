/**
 * Builds images of Dockerfiles: stages side by side, each step in a container or on files of its own snapshot, results
 * kept by what they mean. `buildImage` is the one entry for everything that asks for a build.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { availableParallelism } from 'node:os';
import { cancelled, invalidParameter, kindOf, notFound } from '#errdefs/errors.ts';
import { chainIdOf } from '#layer/chain-id.ts';
import { familiarString } from '#reference/reference.ts';
import { spreadDirectories } from '#sys/spread.ts';
import { StepCache } from './cache.ts';
import { CacheMounts } from './cache-mounts.ts';
import { withPath } from './config.ts';
import { parseTrigger, requireDockerfile } from './dockerfile/parse.ts';
import { findStage, globalScope, platformArgs, resolveFrom, StageScope } from './dockerfile/scope.ts';
import type { Dockerfile, Stage } from './dockerfile/instructions.ts';
import { FilesPool } from './files/files-pool.ts';
import { Flights } from './flights.ts';
import { Captures, makeImage } from './image.ts';
import { contextSources, nameOf, type Plan, planBuild } from './dockerfile/plan.ts';
import type { BuildControl, BuildRequest, BuildResult } from './request.ts';
import { Semaphore } from './semaphore.ts';
import { type BuilderParts, type BuildSession, contextRoot, rootOf } from './session.ts';
import { type SourceOf, step } from './stage.ts';
import type { StageState } from './state.ts';

/** More steps than cores gain nothing but for those that wait for a network. */
const STEPS_MIN = 2;

export type BuilderOptions = Pick<BuilderParts, 'backend' | 'images' | 'layers' | 'content' | 'archives' | 'now'> & {
  readonly db: ConstructorParameters<typeof StepCache>[0]['db'];
  /** Below it lie caches of mounts and temporary files. */
  readonly root: string;
};

export class Builder {
  readonly parts: BuilderParts;

  constructor({ db, root, ...parts }: BuilderOptions) {
    const temporary = path.join(root, 'tmp');
    // What a build that was cut off has left.
    fs.rmSync(temporary, { recursive: true, force: true });
    fs.mkdirSync(temporary, { recursive: true, mode: 0o700 });
    spreadDirectories(temporary);
    this.parts = {
      ...parts,
      temporary,
      cache: new StepCache({ db, layers: parts.layers, now: parts.now }),
      cacheMounts: new CacheMounts({ db, root: path.join(root, 'mounts'), now: parts.now }),
      files: new FilesPool(),
      flights: new Flights(),
      slots: new Semaphore(Math.max(STEPS_MIN, availableParallelism())),
    };
  }

  /** Errors: DockerfileError, CommandFailed, and those of images and files; cancelled by the signal. */
  async buildImage(request: BuildRequest, control: BuildControl): Promise<BuildResult> {
    const file = requireDockerfile(request.dockerfile);
    const plan = planBuild(file, request);
    const failed = new AbortController();
    const signal = AbortSignal.any([control.signal, failed.signal]);
    using held = new DisposableStack();
    const wantedSources = contextSources(plan);
    const session: BuildSession = { ...this.parts, request, control, signal, held, wantedSources };
    const run = new BuildRun(session, file, plan, (error) => failed.abort(error));
    try {
      return await run.run();
    } catch (error) {
      // What stopped the others is the reason, not that they were stopped.
      if (control.signal.aborted) throw cancelled('the build was cancelled', { cause: error });
      throw failed.signal.reason ?? error;
    } finally {
      await run.settled();
    }
  }

  close(): void {
    this.parts.files.close();
  }
}

class BuildRun {
  readonly #session: BuildSession;
  readonly #file: Dockerfile;
  readonly #plan: Plan;
  readonly #fail: (error: unknown) => void;
  readonly #stages = new Map<number, Promise<StageState>>();
  readonly #sources = new Map<string, ReturnType<SourceOf>>();
  readonly #captures: Captures;

  constructor(session: BuildSession, file: Dockerfile, plan: Plan, fail: (error: unknown) => void) {
    this.#session = session;
    this.#file = file;
    this.#plan = plan;
    this.#fail = fail;
    this.#captures = new Captures(session);
  }

  async run(): Promise<BuildResult> {
    const { request, backend } = this.#session;
    this.#announce();
    for (const { stage } of this.#plan.stages) this.#stage(stage).catch(() => undefined);
    const state = await this.#stage(this.#plan.target);
    // Other stages are needed by it, so they are over; a failure of one is the build's.
    const config = state.config.config;
    for (const exporter of request.exporters) {
      await exporter.export(rootOf(this.#session, state.on), config, this.#session.signal);
    }
    const unusedArgs = this.#unusedArgs();
    if (!request.image) return { imageId: '', config, unusedArgs };
    const { id } = await makeImage(this.#session, state, this.#captures);
    backend.built(id, request.references.map(familiarString));
    return { imageId: id, config, unusedArgs };
  }

  /** Nothing of it is under way any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#stages.values());
    await Promise.allSettled(this.#sources.values());
    await this.#captures.settled();
  }

  #announce(): void {
    const { progress } = this.#session.control;
    const { total, stages } = this.#plan;
    let number = 0;
    const tell = (id: string, name: string, stage: string, instruction: string): void => {
      number += 1;
      progress.vertex({ id, name, instruction, number, total, stage, inputs: [] });
    };
    for (const [index, { text }] of this.#file.globalArgs.entries()) {
      tell(`global.${index}`, `[internal] ${text}`, '', text);
    }
    for (const { stage, name } of stages) {
      const count = stage.instructions.length + 1;
      const title = (at: number, text: string): string =>
        `[${stages.length > 1 || stage.from.stage !== undefined ? `${name} ` : ''}${at}/${count}] ${text}`;
      tell(vertexOf(stage, 0), title(1, stage.from.text), name, stage.from.text);
      for (const [index, { text }] of stage.instructions.entries()) {
        tell(vertexOf(stage, index + 1), title(index + 2, text), name, text);
      }
    }
    for (const index of this.#file.globalArgs.keys()) {
      progress.started(`global.${index}`);
      progress.ended(`global.${index}`, 'done', {});
    }
  }

  #stage(stage: Stage): Promise<StageState> {
    let running = this.#stages.get(stage.index);
    if (running === undefined) {
      running = this.#runStage(stage).catch((error: unknown) => {
        this.#fail(error);
        throw error;
      });
      this.#stages.set(stage.index, running);
    }
    return running;
  }

  async #runStage(stage: Stage): Promise<StageState> {
    const { control, request } = this.#session;
    const useCache = !request.noCache && !request.noCacheStages.some((name) => isNamed(stage, name));
    const isTarget = stage === this.#plan.target;
    const first = vertexOf(stage, 0);
    let { state, triggers } = await this.#told(first, async () => {
      const found = await this.#from(stage, first);
      const { length } = found.triggers;
      const line = `# Executing ${length} build ${length === 1 ? 'trigger' : 'triggers'}\n`;
      if (length > 0) control.progress.log(first, 1, Buffer.from(line));
      return found;
    });
    const steps = [
      ...triggers.map((trigger) => ({ vertex: first, instruction: parseTrigger(trigger, stage.from.base) })),
      ...stage.instructions.map((instruction, index) => ({ vertex: vertexOf(stage, index + 1), instruction })),
    ];
    for (const [index, { vertex, instruction }] of steps.entries()) {
      const place = `${request.dockerfile.name}\0${nameOf(stage)}\0${index}\0${instruction.keyword}`;
      const run = {
        session: this.#session,
        file: this.#file,
        vertex,
        place,
        useCache,
        sourceOf: (name: string) => this.#source(name, stage),
      };
      const before = state;
      state = await this.#told(vertex, () => step(run, before, instruction));
      const made = state.layers.at(-1);
      if (isTarget && made !== undefined && made !== before.layers.at(-1)) this.#captures.begin(made);
    }
    return state;
  }

  /** With its beginning and end told; a step that has told its end itself is not told again. */
  async #told<T>(vertex: string, work: () => Promise<T>): Promise<T> {
    const { progress } = this.#session.control;
    progress.started(vertex);
    try {
      const result = await work();
      progress.ended(vertex, 'done', {});
      return result;
    } catch (error) {
      const outcome = this.#session.signal.aborted && kindOf(error) === 'cancelled' ? 'cancelled' : 'failed';
      progress.ended(vertex, outcome, { error: error instanceof Error ? error.message : String(error) });
      throw error;
    }
  }

  async #from(stage: Stage, vertex: string): Promise<{ state: StageState; triggers: readonly string[] }> {
    const { request, backend } = this.#session;
    const buildArgs = new Map(Object.entries(request.args));
    const target = platformOf(request.platform, backend.platform);
    const predefined = platformArgs(backend.platform, target, nameOf(this.#plan.target));
    const global = globalScope(this.#file, buildArgs, predefined);
    const { base, platform } = resolveFrom(this.#file, stage, global);
    const wanted = platform === undefined ? target : platformOf(platform, backend.platform);
    const named = request.named.get(base.toLowerCase()) ?? request.named.get(base);
    const earlier = named === undefined ? findStage(this.#file, base, stage.index) : undefined;
    if (earlier !== undefined && !/^\d+$/.test(base)) {
      const state = await this.#stage(earlier);
      const scope = new StageScope(global, buildArgs, state.scope.imageEnvironment, state.scope);
      const { OnBuild, ...config } = state.config.config;
      const inherited = { ...state, scope, config: { ...state.config, config, hasCommand: false } };
      return { state: inherited, triggers: OnBuild ?? [] };
    }
    if (named?.kind === 'files') throw invalidParameter(`the context "${base}" has files and is no image`);
    if (base === 'scratch' && named === undefined) {
      const config = { config: withPath({}), author: undefined, hasCommand: false };
      const scope = new StageScope(global, buildArgs, environmentOf(config.config.Env));
      return {
        state: { ...emptyState, config, scope, platform: { ...wanted, variant: wanted.variant } },
        triggers: [],
      };
    }
    const reference = named?.kind === 'image' ? named.reference : base;
    const image = await backend.image({
      reference,
      platform: platform ?? request.platform,
      pull: request.pull,
      logins: request.logins,
      tell: (text) => this.#session.control.progress.log(vertex, 1, Buffer.from(text)),
      signal: this.#session.signal,
    });
    if (image.chainId !== undefined) {
      const lease = this.#session.held.use(this.#session.layers.lease());
      lease.add(image.chainId);
    }
    const { OnBuild, ...config } = withPath(image.config.config ?? {});
    const scope = new StageScope(global, buildArgs, environmentOf(config.Env));
    const { os, architecture, variant, rootfs, history, created, author } = image.config;
    return {
      state: {
        on: { snapshot: undefined, base: chainIdOf(rootfs.diff_ids) },
        key: `base:${chainIdOf(rootfs.diff_ids) ?? 'scratch'}`,
        below: rootfs.diff_ids,
        layers: [],
        history,
        config: { config, author, hasCommand: false },
        scope,
        platform: { os, architecture, variant },
        created,
        baseImage: image.id,
      },
      triggers: OnBuild ?? [],
    };
  }

  #source(name: string, stage: Stage): ReturnType<SourceOf> {
    const key = `${stage.index}\0${name}`;
    let found = this.#sources.get(key);
    if (found === undefined) {
      found = this.#findSource(name, stage);
      this.#sources.set(key, found);
    }
    return found;
  }

  async #findSource(name: string, stage: Stage): ReturnType<SourceOf> {
    const { request, backend, held, layers } = this.#session;
    const named = request.named.get(name.toLowerCase()) ?? request.named.get(name);
    if (named?.kind === 'files') {
      return { root: await contextRoot(this.#session, named.context), digest: '', on: undefined };
    }
    const earlier = named === undefined ? findStage(this.#file, name, stage.index) : undefined;
    if (earlier !== undefined) {
      const { on } = await this.#stage(earlier);
      return { root: rootOf(this.#session, on), digest: '', on };
    }
    if (named === undefined && findStage(this.#file, name) !== undefined) {
      throw invalidParameter(`invalid from flag value ${name}: a stage can only use stages before it`);
    }
    if (named === undefined && /^\d+$/.test(name))
      throw invalidParameter(`invalid from flag value ${name}: invalid stage index ${name}`);
    const reference = named?.kind === 'image' ? named.reference : name;
    const image = await backend.image({
      reference,
      platform: request.platform,
      pull: request.pull,
      logins: request.logins,
      tell: (text) => this.#session.control.progress.note(text),
      signal: this.#session.signal,
    });
    if (image.chainId === undefined) throw notFound(`image "${reference}" has no files`);
    const lease = held.use(layers.lease());
    lease.add(image.chainId);
    const on = { snapshot: undefined, base: image.chainId };
    return { root: rootOf(this.#session, on), digest: '', on };
  }

  /** Arguments of the client that no ARG of a built stage names. */
  #unusedArgs(): readonly string[] {
    const { args } = this.#session.request;
    const named = new Set(
      [...this.#file.globalArgs, ...this.#plan.stages.flatMap(({ stage }) => stage.instructions)].flatMap(
        (instruction) => (instruction.keyword === 'ARG' ? instruction.args.map(({ name }) => name) : []),
      ),
    );
    return Object.keys(args).filter((name) => !named.has(name) && !isPredefined(name));
  }
}

const emptyState = {
  on: { snapshot: undefined, base: undefined },
  key: 'scratch',
  below: [],
  layers: [],
  history: [],
  created: undefined,
  baseImage: '',
} as const;

const vertexOf = (stage: Stage, index: number): string => `${stage.index}.${index}`;

const isNamed = (stage: Stage, name: string): boolean =>
  stage.from.stage === name.toLowerCase() || String(stage.index) === name;

/** Proxies, platforms and what steers the builder need no ARG. */
function isPredefined(name: string): boolean {
  return /^(?:(?:http|https|ftp|no|all)_proxy|(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)|BUILDKIT_\w+|SOURCE_DATE_EPOCH)$/i.test(
    name,
  );
}

function environmentOf(env: readonly string[] | null | undefined): Map<string, string> {
  return new Map(
    (env ?? []).map((entry) => {
      const at = entry.indexOf('=');
      return at < 0 ? [entry, ''] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

/** `linux/arm64/v8`; '' is the host's. Errors: invalid-parameter. */
function platformOf(
  text: string,
  host: { readonly os: string; readonly architecture: string; readonly variant: string },
): { readonly os: string; readonly architecture: string; readonly variant: string } {
  if (text === '') return host;
  const [os = '', architecture, variant = ''] = text.toLowerCase().split('/');
  if (architecture === undefined) return { ...host, ...(os === 'linux' ? { os } : { architecture: os }) };
  return { os, architecture: architectures[architecture] ?? architecture, variant };
}

const architectures: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  armhf: 'arm',
  i386: '386',
};
