/** Secrets: create, list, inspect, remove. No answer has a value. */
import type { Filters } from '#api/jobs/container.ts';
import type { SecretCreateInput } from '#api/jobs/secret.ts';
import type { Secret } from '#api/types/secret.ts';
import { conflict } from '#errdefs/errors.ts';
import { checkFilterKeys, matchesPattern, matchesPrefix } from '#pkg/filters/filters.ts';
import type { SecretRecord } from '#secret/secrets.ts';
import type { Services } from '../services.ts';

export function createSecret(services: Services, input: SecretCreateInput): { ID: string } {
  const replaced = input.replace ? services.secrets.find(input.name) : undefined;
  const secret = services.secrets.create(input);
  input.value.fill(0);
  if (replaced !== undefined) publish(services, 'remove', replaced);
  publish(services, 'create', secret);
  return { ID: secret.id };
}

export function listSecrets(services: Services, filters: Filters): Secret[] {
  checkFilterKeys(filters, ['name', 'id']);
  return services.secrets
    .list()
    .filter((one) => matchesPattern(filters, 'name', one.name) && matchesPrefix(filters, 'id', one.id))
    .map(toWire);
}

export function inspectSecret(services: Services, reference: string): Secret {
  return toWire(services.secrets.resolve(reference));
}

/** Errors: not-found; conflict while a container has it: it could not be started any more. */
export function removeSecret(services: Services, reference: string): void {
  const secret = services.secrets.resolve(reference);
  const user = services.containers
    .everything()
    .find((record) => record.hostConfig.Secrets?.some((one) => isMeant(one.Source, secret)) === true);
  if (user !== undefined) throw conflict(`secret ${secret.name} is used by container ${user.id}`);
  services.secrets.remove(secret.name);
  publish(services, 'remove', secret);
}

function isMeant(reference: string, secret: SecretRecord): boolean {
  return reference === secret.name || secret.id.startsWith(reference);
}

function publish(services: Services, action: 'create' | 'remove', secret: SecretRecord): void {
  services.events.publish({ type: 'secret', action, id: secret.id, attributes: { name: secret.name } });
}

function toWire(secret: SecretRecord): Secret {
  return {
    ID: secret.id,
    CreatedAt: secret.createdAt,
    UpdatedAt: secret.updatedAt,
    Spec: { Name: secret.name, Driver: { Name: 'file', Options: {} }, Labels: { ...secret.labels } },
  };
}
