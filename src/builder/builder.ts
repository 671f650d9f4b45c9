/**
 * Builds images of Dockerfiles: stages side by side, each step in a container or on files of its own snapshot, results
 * kept by what they mean. `buildImage` is the one entry for everything that asks for a build.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { availableParallelism } from 'node:os';
import { cancelled, kindOf, messageOf } from '#errdefs/errors.ts';
import { KeyedQueue } from '#pkg/keyed-queue/keyed-queue.ts';
import { log } from '#pkg/log/log.ts';
import { spreadDirectories } from '#sys/spread.ts';
import { BuildRun } from './build-run.ts';
import { StepCache } from './cache.ts';
import { ImportedCache, UnusableLayers } from './cache/imported-cache.ts';
import { CacheMounts } from './cache-mounts.ts';
import { Chains } from './chains.ts';
import type { Dockerfile } from './dockerfile/instructions.ts';
import { contextSources, type Plan, planBuild } from './dockerfile/plan.ts';
import { requireDockerfile } from './dockerfile/parse.ts';
import { CopiedTrees } from './context/copied-trees.ts';
import { KeptContexts } from './context/kept-contexts.ts';
import { FilesPool } from './files/files-pool.ts';
import { finish } from './finish.ts';
import { Flights } from './flights.ts';
import { platformOf } from './platform.ts';
import { ToldOnce } from './print/told-once.ts';
import type { BuildControl, BuildRequest, BuildResult } from './request.ts';
import { Semaphore } from './semaphore.ts';
import type { BuilderParts, BuildSession } from './session.ts';

interface Attempt {
  readonly request: BuildRequest;
  readonly control: BuildControl;
  readonly file: Dockerfile;
  readonly plan: Plan;
}

const noImports = ImportedCache.none;
/** It is missing or wrong; else its source is out of reach, and the next layer will not come either. */
const isOfLayer = (error: UnusableLayers): boolean => kindOf(error) === 'not-found' || kindOf(error) === 'data-loss';
/** Layers of a cache that may turn out to be of no use, one after the other, before all of it is left alone. */
const DROPS_MAX = 8;
/** More steps than cores gain nothing but for those that wait for a network. */
const STEPS_MIN = 2;

export type BuilderOptions = Pick<BuilderParts, 'backend' | 'images' | 'layers' | 'content' | 'archives' | 'now'> & {
  readonly db: ConstructorParameters<typeof StepCache>[0]['db'];
  /** Below it lie caches of mounts and temporary files. */
  readonly root: string;
  /** Of the running kernel. */
  readonly bootId: string;
};

export class Builder {
  readonly parts: BuilderParts;

  constructor({ db, root, bootId, ...parts }: BuilderOptions) {
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
      contexts: new KeptContexts({ db, root: path.join(root, 'contexts'), bootId, now: parts.now }),
      trees: new CopiedTrees({ db, root: path.join(root, 'copied'), layers: parts.layers }),
      flights: new Flights(),
      slots: new Semaphore(Math.max(STEPS_MIN, availableParallelism())),
      cacheWriters: new KeyedQueue(),
    };
  }

  /** Errors: DockerfileError, CommandFailed, and those of images and files; cancelled by the signal. */
  async buildImage(request: BuildRequest, given: BuildControl): Promise<BuildResult> {
    const file = requireDockerfile(request.dockerfile);
    const plan = planBuild(file, request);
    if (request.cacheSources.length === 0) return this.#attempt({ request, control: given, file, plan }, noImports);
    const control = { ...given, progress: new ToldOnce(given.progress) };
    const imported = await ImportedCache.load(request.cacheSources, control.progress, control.signal);
    for (let drops = 1; ; drops++) {
      try {
        return await this.#attempt({ request, control, file, plan }, imported);
      } catch (error) {
        // What was made so far is in the cache; the steps whose results cannot be had are made now.
        if (!(error instanceof UnusableLayers) || !imported.drop(error, drops > DROPS_MAX || !isOfLayer(error)))
          throw error;
        control.progress.warning(`${error.message}: what it is needed for is built`);
        log.warn('a layer of an imported cache cannot be used', { from: error.source, err: messageOf(error.cause) });
      }
    }
  }

  async #attempt({ request, control, file, plan }: Attempt, imported: ImportedCache): Promise<BuildResult> {
    const failed = new AbortController();
    const signal = AbortSignal.any([control.signal, failed.signal]);
    using held = new DisposableStack();
    const lease = held.use(this.parts.layers.lease());
    const chains = new Chains(this.parts.layers, lease, signal);
    const session: BuildSession = {
      ...this.parts,
      request,
      control,
      signal,
      held,
      wantedSources: (from) => contextSources(plan, from),
      chains,
      imported,
      digests: new Map(),
      placed: new Map(),
    };
    const { platform: host } = this.parts.backend;
    const wanted = request.platforms.length > 1 ? request.platforms : [request.platform];
    const runs = wanted.map(
      (text) =>
        new BuildRun({
          session: { ...session, request: { ...request, platform: text } },
          file,
          plan,
          platform: platformOf(text, host),
          isOneOfMany: wanted.length > 1,
          fail: (error) => failed.abort(error),
        }),
    );
    try {
      return await finish({ session, file, plan, lease, startedAt: this.parts.now() }, runs);
    } catch (error) {
      // What stopped the others is the reason, not that they were stopped.
      if (control.signal.aborted) throw cancelled('the build was cancelled', { cause: error });
      throw failed.signal.reason ?? error;
    } finally {
      for (const run of runs) await run.settled();
      await chains.settled();
      this.parts.files.forgetSoon();
    }
  }

  close(): void {
    this.parts.files.close();
  }
}
