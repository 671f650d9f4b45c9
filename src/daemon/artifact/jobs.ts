/** Handlers of the jobs on artifacts, loaded when one is asked for. */
import * as artifact from '#api/jobs/artifact.ts';
import type { Services } from '../services.ts';

export function installArtifactJobs(services: Services): void {
  const { engine } = services;
  const verbs = () => import('./artifacts.ts');
  engine.register(artifact.artifactList, async () => (await verbs()).listArtifacts(services));
  engine.register(artifact.artifactInspect, async (input) => (await verbs()).inspectArtifact(services, input.artifact));
  engine.register(artifact.artifactUpload, async ({ file }, { signal }) =>
    (await verbs()).uploadFile(services, file, signal),
  );
  engine.register(artifact.artifactCreate, async (input) => (await verbs()).createArtifact(services, input));
  engine.register(artifact.artifactRemove, async (input) => (await verbs()).removeArtifact(services, input.artifact));
  const transfers = () => import('./transfer.ts');
  engine.register(artifact.artifactPull, async (input, { signal }) => {
    await (await transfers()).pullArtifact(services, input, signal);
  });
  engine.register(artifact.artifactPush, async (input, { signal }) =>
    (await transfers()).pushArtifact(services, input, signal),
  );
  engine.register(artifact.artifactFile, async (input, { signal }) =>
    (await verbs()).sendFile(services, input, signal),
  );
}
