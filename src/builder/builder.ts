/**
 * Builds images of Dockerfiles: stages side by side, each step in a container or on files of its own snapshot, results
 * kept by what they mean. `buildImage` is the one entry for everything that asks for a build.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { availableParallelism } from 'node:os';
import { cancelled } from '#errdefs/errors.ts';
import { spreadDirectories } from '#sys/spread.ts';
import { BuildRun } from './build-run.ts';
import { StepCache } from './cache.ts';
import { ImportedCache } from './cache/imported-cache.ts';
import { CacheMounts } from './cache-mounts.ts';
import { Chains } from './chains.ts';
import { contextSources, planBuild } from './dockerfile/plan.ts';
import { requireDockerfile } from './dockerfile/parse.ts';
import { CopiedTrees } from './context/copied-trees.ts';
import { KeptContexts } from './context/kept-contexts.ts';
import { FilesPool } from './files/files-pool.ts';
import { finish } from './finish.ts';
import { Flights } from './flights.ts';
import { platformOf } from './platform.ts';
import type { BuildControl, BuildRequest, BuildResult } from './request.ts';
import { Semaphore } from './semaphore.ts';
import type { BuilderParts, BuildSession } from './session.ts';

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
    };
  }

  /** Errors: DockerfileError, CommandFailed, and those of images and files; cancelled by the signal. */
  async buildImage(request: BuildRequest, control: BuildControl): Promise<BuildResult> {
    const file = requireDockerfile(request.dockerfile);
    const plan = planBuild(file, request);
    const failed = new AbortController();
    const signal = AbortSignal.any([control.signal, failed.signal]);
    using held = new DisposableStack();
    const lease = held.use(this.parts.layers.lease());
    const chains = new Chains(this.parts.layers, lease, signal);
    const imported =
      request.cacheSources.length === 0
        ? ImportedCache.none
        : await ImportedCache.load(request.cacheSources, control.progress, signal);
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
