/** Which daemon: `-H`, else BERTH_HOST, else DOCKER_HOST, else our own socket; TLS as docker's variables and flags say. */
import { readFileSync } from 'node:fs';
import { ApiClient } from '#api/client/api-client.ts';
import { parseHost, type TlsMaterial } from '#api/client/address.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { GlobalValues } from './global-flags.ts';
import { VERSION } from './version.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export function connect(flags: GlobalValues, environment: Environment): ApiClient {
  if (flags.host.length > 1) throw invalidParameter('Specify only one -H');
  const host = flags.host[0] ?? environment['BERTH_HOST'] ?? environment['DOCKER_HOST'] ?? '';
  const version = environment['BERTH_API_VERSION'] ?? environment['DOCKER_API_VERSION'];
  return new ApiClient({
    address: parseHost(host, tlsMaterial(flags, environment)),
    userAgent: `Berth-Client/${VERSION} (linux)`,
    ...(version === undefined ? {} : { version }),
  });
}

function tlsMaterial(flags: GlobalValues, environment: Environment): TlsMaterial | undefined {
  const verify = flags.tlsverify || (environment['DOCKER_TLS_VERIFY'] ?? '') !== '';
  if (!flags.tls && !verify) return undefined;
  const folder = environment['DOCKER_CERT_PATH'] ?? `${environment['HOME'] ?? '/root'}/.docker`;
  const ca = pem(flags.tlscacert, `${folder}/ca.pem`);
  const cert = pem(flags.tlscert, `${folder}/cert.pem`);
  const key = pem(flags.tlskey, `${folder}/key.pem`);
  return {
    verify,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

/** A file that was named must be there; the default ones may be missing. */
function pem(named: string, standard: string): string | undefined {
  try {
    return readFileSync(named === '' ? standard : named, 'utf8');
  } catch (error) {
    if (named === '') return undefined;
    throw invalidParameter(`Cannot read "${named}": ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
