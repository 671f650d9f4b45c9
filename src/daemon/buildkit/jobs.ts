/** Installs the jobs of sessions and of builds that use them. What they do is loaded with the first. */
import * as path from 'node:path';
import { buildControl, buildSession, buildUpload, sessionBuild } from '#api/jobs/buildkit.ts';
import type { Sessions } from '#builder/buildkit/session.ts';
import { Arrivals } from '#pkg/arrivals/arrivals.ts';
import type { RunningBuilds } from '../builder/running.ts';
import type { Services } from '../services.ts';
import type { History } from './history.ts';
import { Solves } from './solves.ts';
import { offerUpload, type Upload } from './uploads.ts';

export function installBuildkitJobs(services: Services, running: RunningBuilds): void {
  const { engine } = services;
  let loaded: Promise<Sessions> | undefined;
  const sessions = (): Promise<Sessions> =>
    (loaded ??= import('#builder/buildkit/session.ts').then((module) => new module.Sessions()));
  engine.register(buildSession, async ({ connection, ...head }, { signal }) => {
    const open = (await sessions()).open(head);
    connection.accept(false);
    await open(
      { input: connection.input, write: (bytes) => connection.write(bytes), end: () => connection.end() },
      signal,
    );
  });
  const solves = new Solves();
  let kept: Promise<History> | undefined;
  const history = (): Promise<History> =>
    (kept ??= import('./history.ts').then(
      ({ History: Kept }) =>
        new Kept(
          path.join(path.dirname(services.builder.parts.temporary), 'history'),
          () => services.settings.builder.history,
        ),
    ));
  const uploads = new Arrivals<Upload>();
  engine.register(buildUpload, ({ build, tar }, { signal }) => offerUpload(uploads, build, tar, signal));
  engine.register(buildControl, async ({ connection }, { signal }) => {
    const { serveControl } = await import('./control.ts');
    connection.accept(false);
    const parts = { services, running, sessions: await sessions(), uploads, solves, history: await history() };
    await serveControl(parts, connection, signal);
  });
  engine.register(sessionBuild, async (input, { signal }) => {
    const { buildWithSession } = await import('./session-build.ts');
    await buildWithSession({ services, running, sessions: await sessions(), uploads }, input, signal);
  });
}
