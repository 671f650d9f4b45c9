/** `POST /auth`: whether a registry takes a name and a password, and the refresh token that it may give for them. */
import { BerthError, unavailable } from '#errdefs/errors.ts';
import { discard } from '#registry/body.ts';
import type { Credentials } from '#registry/credentials.ts';
import { RegistryError, unauthorized } from '#registry/failures.ts';
import type { RegistryClient } from '#registry/registry-client.ts';

const HUB = 'docker.io';

export interface LoginResult {
  readonly status: string;
  /** '' when the registry has none. */
  readonly identityToken: string;
}

/** `https://index.docker.io/v1/`, `host:5000`, `https://host/v2/` → the domain of references. */
export function registryDomain(serverAddress: string): string {
  const host = serverAddress.replace(/^https?:\/\//i, '').replace(/\/.*$/, '');
  return host === '' || host === 'index.docker.io' || host === 'registry-1.docker.io' ? HUB : host;
}

/** Errors: unauthorized, unavailable, in dockerd's words. */
export async function logIn(
  registry: RegistryClient,
  credentials: Credentials,
  signal: AbortSignal | undefined,
): Promise<LoginResult> {
  const domain = registryDomain(credentials.serverAddress);
  const repository = await registry.repository(domain, '', { credentials, signal });
  const own = repository.sessions('push').filter(({ endpoint }) => !endpoint.mirror);
  try {
    const { response, session } = await repository.ask({
      method: 'GET',
      url: '/',
      capability: 'push',
      offline: true,
      accept: [200],
      again: true,
      ...(own.length === 1 ? { only: own[0] } : {}),
    });
    await discard(response.body);
    return { status: 'Login Succeeded', identityToken: session.authorizer.refreshToken ?? '' };
  } catch (error) {
    if (error instanceof BerthError && error.kind === 'unauthorized') {
      // Of a token service its own words; of a registry alone dockerd's.
      if (error.message !== unauthorized().message) throw error;
      const base = own.at(-1)?.endpoint.base ?? domain;
      const message = `login attempt to ${base}/ failed with status: 401 Unauthorized`;
      throw new BerthError('unauthorized', message, { cause: error });
    }
    if (error instanceof RegistryError) {
      throw unavailable(`login attempt to "${domain}" failed with status: ${error.status}`, { cause: error });
    }
    throw error;
  }
}
