/**
 * Which daemon: `-H`, else `--context`, else BERTH_HOST, DOCKER_HOST, else DOCKER_CONTEXT, else the context that is in
 * use, else our own socket. TLS as docker's variables, flags and contexts say.
 */
import { ApiClient } from '#api/client/api-client.ts';
import { type HostAddress, parseHost, type TlsMaterial } from '#api/client/address.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { configDirectory, readConfigFile, textOf, textsOf } from './config-file/config-file.ts';
import { DEFAULT_CONTEXT } from './context/default-context.ts';
import type { ContextStore } from './context/store.ts';
import type { GlobalValues } from './global-flags.ts';
import { nodeFs } from './node-modules.ts';
import { VERSION } from './version.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** `json`: the configuration file's; `contexts`: for every context but the default one (`chosenContext`). */
export function connect(
  flags: GlobalValues,
  environment: Environment,
  json: Readonly<Record<string, unknown>>,
  contexts: ContextStore | undefined,
): ApiClient {
  const version = environment['BERTH_API_VERSION'] ?? environment['DOCKER_API_VERSION'];
  return new ApiClient({
    address: addressOf(flags, environment, json, contexts),
    userAgent: `Berth-Client/${VERSION} (linux)`,
    headers: textsOf(json, 'HttpHeaders'),
    ...(version === undefined ? {} : { version }),
  });
}

/** The name of the context in use; `default` when flags or variables name a daemon. */
export function chosenContext(
  flags: GlobalValues,
  environment: Environment,
  json?: Readonly<Record<string, unknown>>,
): string {
  if (flags.context !== '') return flags.context;
  if (flags.host.length > 0 || hostVariable(environment) !== '') return DEFAULT_CONTEXT;
  const named = environment['DOCKER_CONTEXT'] ?? '';
  if (named !== '') return named;
  const held = json ?? readConfigFile(configDirectory(environment, flags.config)).json;
  const used = textOf(held, 'currentContext');
  return used === '' ? DEFAULT_CONTEXT : used;
}

/** BERTH_HOST or DOCKER_HOST; empty is not set. */
export function hostVariable(environment: Environment): string {
  const ours = environment['BERTH_HOST'] ?? '';
  return ours === '' ? (environment['DOCKER_HOST'] ?? '') : ours;
}

function addressOf(
  flags: GlobalValues,
  environment: Environment,
  json: Readonly<Record<string, unknown>>,
  contexts: ContextStore | undefined,
): HostAddress {
  if (flags.host.length > 1) throw invalidParameter('Specify only one -H');
  if (flags.host.length > 0 && flags.context !== '') {
    throw invalidParameter('conflicting options: cannot specify both --host and --context');
  }
  const name = chosenContext(flags, environment, json);
  if (name === DEFAULT_CONTEXT || contexts === undefined) {
    return parseHost(flags.host[0] ?? hostVariable(environment), tlsMaterial(flags, environment));
  }
  const context = contexts.find(name);
  if (context === undefined) {
    const missing = `${contexts.metaPath(name)}/meta.json`;
    throw invalidParameter(
      `Failed to initialize: unable to resolve docker endpoint: context "${name}": context not found: open ${missing}: no such file or directory`,
    );
  }
  return parseHost(context.host, contexts.tlsMaterial(context));
}

function tlsMaterial(flags: GlobalValues, environment: Environment): TlsMaterial | undefined {
  const verify = flags.tlsverify || (environment['DOCKER_TLS_VERIFY'] ?? '') !== '';
  if (!flags.tls && !verify) return undefined;
  const folder = environment['DOCKER_CERT_PATH'] ?? configDirectory(environment, flags.config);
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
    return nodeFs().readFileSync(named === '' ? standard : named, 'utf8');
  } catch (error) {
    if (named === '') return undefined;
    throw invalidParameter(`Cannot read "${named}": ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
