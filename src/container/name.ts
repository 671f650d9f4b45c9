/** Rules and words of container names. The texts are matched by clients. */
import { conflict, invalidParameter, notFound } from '#errdefs/errors.ts';

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** The name without its leading slash. Errors: invalid-parameter. */
export function parseContainerName(text: string): string {
  const name = text.startsWith('/') ? text.slice(1) : text;
  if (!namePattern.test(name)) {
    throw invalidParameter(`Invalid container name (${text}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  }
  return name;
}

export function nameConflict(name: string, byId: string) {
  return conflict(
    `Conflict. The container name "/${name}" is already in use by container "${byId}". ` +
      'You have to remove (or rename) that container to be able to reuse that name.',
  );
}

export function noSuchContainer(reference: string) {
  return notFound(`No such container: ${reference}`);
}
