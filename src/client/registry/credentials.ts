/**
 * Names and passwords of registries, kept as docker keeps them: in `auths` of config.json, or by a credential helper
 * (`docker-credential-NAME` in PATH, which gets and tells them over its stdin and stdout).
 */
import type { AuthConfig } from '#api/types/image.ts';
import { runWithInput } from '#pkg/command/session.ts';
import { parseReference } from '#reference/reference.ts';
import { type CommandContext, ExitError } from '../command.ts';
import { changeConfigFile } from '../config-file/change-config-file.ts';
import { configDirectory, isJson, textOf, textsOf } from '../config-file/config-file.ts';

/** What docker calls Docker Hub where it keeps passwords. */
export const HUB_SERVER = 'https://index.docker.io/v1/';
/** A helper says so of a registry that it does not know. */
const UNKNOWN = 'credentials not found in native keychain';
/** A user name that stands for a refresh token. */
const TOKEN_USER = '<token>';

type Json = Readonly<Record<string, unknown>>;

/** `docker.io` and its other names → the key under which it is kept; others are their own. */
export function serverKey(server: string): string {
  const host = server.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return host === '' || host === 'docker.io' || host === 'index.docker.io' || host === 'registry-1.docker.io'
    ? HUB_SERVER
    : host;
}

/** Where an image's registry keeps its password; of what is no image's name nothing. */
export function serverOf(image: string): string {
  try {
    return serverKey(parseReference(image).domain);
  } catch {
    return HUB_SERVER;
  }
}

/** The header that a daemon wants to see; none where nothing is known. */
export async function authHeaders(context: CommandContext, image: string): Promise<Record<string, string>> {
  const header = await authHeader(context, serverOf(image));
  return header === '' ? {} : { 'X-Registry-Auth': header };
}

export async function authHeader(context: CommandContext, server: string): Promise<string> {
  const found = await credentialsFor(context, server);
  return found === undefined ? '' : Buffer.from(JSON.stringify(found)).toString('base64url');
}

/** `config`: of another file than the client's own. */
export async function credentialsFor(
  context: CommandContext,
  server: string,
  config: Json = context.config(),
): Promise<AuthConfig | undefined> {
  const helper = helperFor(config, server);
  if (helper !== '') {
    const outcome = await runWithInput(`docker-credential-${helper}`, ['get'], server, context.environment);
    if (outcome.code !== 0) {
      const said = outcome.output.trim();
      if (said === UNKNOWN) return undefined;
      throw new ExitError(1, `error getting credentials - err: exit status ${outcome.code}, out: \`${said}\``);
    }
    const answer: unknown = JSON.parse(outcome.output);
    if (!isJson(answer)) return undefined;
    const [name, secret] = [textOf(answer, 'Username'), textOf(answer, 'Secret')];
    if (name === TOKEN_USER) return { serveraddress: server, identitytoken: secret };
    return { username: name, password: secret, serveraddress: server };
  }
  const entry = entryFor(config, server);
  return entry === undefined ? undefined : ofEntry(server, entry);
}

/** As an entry of `auths` says it. */
export function ofEntry(server: string, entry: Json): AuthConfig {
  const joined = Buffer.from(textOf(entry, 'auth'), 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = joined.indexOf(':');
  const token = textOf(entry, 'identitytoken');
  return {
    username: colon > 0 ? joined.slice(0, colon) : textOf(entry, 'username'),
    password: colon > 0 ? joined.slice(colon + 1) : textOf(entry, 'password'),
    serveraddress: server,
    ...(token === '' ? {} : { identitytoken: token }),
  };
}

/** Old versions wrote the key with a scheme and a path. */
function entryFor(config: Json, server: string): Json | undefined {
  const auths = config['auths'];
  if (!isJson(auths)) return undefined;
  const exact = auths[server];
  if (isJson(exact)) return exact;
  for (const [key, value] of Object.entries(auths)) if (serverKey(key) === server && isJson(value)) return value;
  return undefined;
}

function helperFor(config: Json, server: string): string {
  const own = textsOf(config, 'credHelpers')[server];
  const name = own ?? textOf(config, 'credsStore');
  // It becomes the name of a program.
  if (!/^[\w.-]*$/.test(name)) throw new ExitError(1, `invalid credential helper "${name}"`);
  return name;
}

/** Whether it was kept as it is, in a file that anybody with its rights can read. */
export async function storeCredentials(context: CommandContext, server: string, given: AuthConfig): Promise<boolean> {
  const helper = helperFor(context.config(), server);
  const { username = '', password = '', identitytoken = '' } = given;
  if (helper !== '') {
    const [Username, Secret] = identitytoken === '' ? [username, password] : [TOKEN_USER, identitytoken];
    const input = JSON.stringify({ ServerURL: server, Username, Secret });
    const outcome = await runWithInput(`docker-credential-${helper}`, ['store'], input, context.environment);
    if (outcome.code !== 0) throw new ExitError(1, `error storing credentials - err: ${outcome.output.trim()}`);
    changeAuths(context, server, {});
    return false;
  }
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  changeAuths(context, server, identitytoken === '' ? { auth } : { auth, identitytoken });
  return true;
}

/** Whether there was something to remove. */
export async function eraseCredentials(context: CommandContext, server: string): Promise<boolean> {
  const helper = helperFor(context.config(), server);
  const known = entryFor(context.config(), server) !== undefined;
  if (helper !== '') await runWithInput(`docker-credential-${helper}`, ['erase'], server, context.environment);
  if (known) changeAuths(context, server, undefined);
  return known;
}

function changeAuths(context: CommandContext, server: string, entry: Json | undefined): void {
  changeConfigFile(configDirectory(context.environment, context.globals.config), (json) => {
    const auths = isJson(json['auths']) ? json['auths'] : {};
    const others = Object.fromEntries(Object.entries(auths).filter(([key]) => serverKey(key) !== server));
    return { ...json, auths: entry === undefined ? others : { ...others, [server]: entry } };
  });
}
