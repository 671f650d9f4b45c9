/** What a pull that a registry refuses is called: dockerd's words, since clients and people match them. */
import { BerthError, notFound, systemError } from '#errdefs/errors.ts';
import { familiarName, familiarString, type Reference } from '#reference/reference.ts';
import { RegistryError } from '#registry/failures.ts';

/** The failure as it is told; others stay as they are. */
export function translatePull(error: unknown, reference: Reference): unknown {
  if (!(error instanceof RegistryError)) {
    if (!(error instanceof BerthError)) return error;
    if (error.kind === 'data-loss' || error.kind === 'system') {
      return new BerthError(error.kind, `Cannot pull "${familiarString(reference)}": ${error.message}`, {
        cause: error,
      });
    }
    if (error.kind === 'unavailable') return new BerthError(error.kind, asPing(error.message), { cause: error });
    if (error.kind !== 'unauthorized') return error;
    // The token service gives nobody a token for what is not there or private.
    // Never a 401: it makes clients ask for a name and a password, whatever the registry wants.
    if (!error.message.startsWith('unauthorized:')) return systemError(error.message, { cause: error });
    return denied(error, reference);
  }
  if (error.has('DENIED') || error.status === 403) return denied(error, reference);
  if (error.has('MANIFEST_UNKNOWN'))
    return notFound(`manifest for ${familiarString(reference)} not found: ${error.message}`, { cause: error });
  if (error.has('NAME_UNKNOWN'))
    return notFound(`repository ${familiarName(reference)} not found: ${error.message}`, { cause: error });
  if (error.status === 401) return denied(error, reference);
  if (error.status === 404) {
    return notFound(`manifest for ${familiarString(reference)} not found: manifest unknown: manifest unknown`, {
      cause: error,
    });
  }
  return error;
}

/** dockerd asks whether there is a registry before it asks for anything, and says so. */
function asPing(message: string): string {
  return message.replace(
    /^(?:Head|Get) "(https?:\/\/[^"]*?\/v2\/)[^"]*\/manifests\/[^"]*": (?=dial tcp|tls:|http:)/,
    'Get "$1": ',
  );
}

function denied(error: Error, reference: Reference): BerthError {
  return notFound(
    `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': ` +
      error.message,
    { cause: error },
  );
}
