/** Handlers of the jobs on secrets, loaded when one is asked for. */
import * as secret from '#api/jobs/secret.ts';
import type { Services } from '../services.ts';

export function installSecretJobs(services: Services): void {
  const { engine } = services;
  const verbs = () => import('./secrets.ts');
  engine.register(secret.secretCreate, async (input) => (await verbs()).createSecret(services, input));
  engine.register(secret.secretList, async ({ filters }) => (await verbs()).listSecrets(services, filters));
  engine.register(secret.secretInspect, async (input) => (await verbs()).inspectSecret(services, input.secret));
  engine.register(secret.secretRemove, async (input) => (await verbs()).removeSecret(services, input.secret));
}
