/** Installs the builder's jobs. What they do is loaded with the first build. */
import * as build from '#api/jobs/build.ts';
import { installBuildkitJobs } from '../buildkit/jobs.ts';
import type { Services } from '../services.ts';
import { CacheKeeper } from './cache-keeper.ts';
import { buildCache } from './list.ts';
import { keptKey } from './kept-key.ts';
import { RunningBuilds } from './running.ts';

export function installBuildJobs(services: Services): void {
  const { engine, builder } = services;
  const keeper = new CacheKeeper(services);
  const running = new RunningBuilds(keeper);
  if (builder.parts.cache.list().length > 0 || builder.parts.cacheMounts.list().length > 0) keeper.idle();
  engine.register(build.imageBuild, async (input, { signal }) => {
    const { buildImage } = await import('./build.ts');
    await buildImage(services, running, input, signal);
  });
  installBuildkitJobs(services, running);
  engine.register(build.imageBuildCancel, ({ id }) => running.cancel(id));
  const mounts = () => import('./cache-mounts.ts');
  engine.register(build.cacheMountList, async () => (await mounts()).listCacheMounts(services));
  engine.register(build.cacheMountExport, async (input, { signal }) =>
    (await mounts()).exportCacheMount(services, input, signal),
  );
  engine.register(build.cacheMountImport, async (input, { signal }) =>
    (await mounts()).importCacheMount(services, input, signal),
  );
  engine.register(build.buildContextKept, ({ key }) => builder.parts.contexts.current(keptKey(key)));
  engine.register(build.buildCacheList, () => buildCache(services));
  engine.register(build.buildPrune, async (input, { signal }) => {
    const { pruneBuilds } = await import('./prune.ts');
    return pruneBuilds(services, builder.parts, input, signal);
  });
}
