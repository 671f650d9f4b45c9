/**
 * All that a client is logged in to, for requests that lead to many registries (`image outdated`, `auto-update`): of
 * config.json with its helpers, or of a file in the shape of podman's auth.json, whose keys may name a part of a registry.
 */
import * as fs from 'node:fs';
import type { AuthConfig } from '#api/types/image.ts';
import { messageOf } from '#errdefs/errors.ts';
import { runWithInput } from '#pkg/command/session.ts';
import { type CommandContext, ExitError } from '../command.ts';
import { isJson, textOf, textsOf } from '../config-file/config-file.ts';
import { credentialsFor, ofEntry, serverKey } from './credentials.ts';

type Json = Readonly<Record<string, unknown>>;

/** Podman's word for where it is. */
const AUTH_FILE = 'REGISTRY_AUTH_FILE';

/** The header; none when nothing is known. `authFile` '': the environment's, else the client's configuration. */
export async function configHeaders(context: CommandContext, authFile: string): Promise<Record<string, string>> {
  const file = authFile === '' ? (context.environment[AUTH_FILE] ?? '') : authFile;
  const found = await allCredentials(context, file === '' ? context.config() : readAuthFile(file));
  if (Object.keys(found).length === 0) return {};
  return { 'X-Registry-Config': Buffer.from(JSON.stringify(found)).toString('base64url') };
}

export async function allCredentials(
  context: CommandContext,
  config: Json = context.config(),
): Promise<Record<string, AuthConfig>> {
  const found: Record<string, AuthConfig> = {};
  const auths = isJson(config['auths']) ? config['auths'] : {};
  const servers = new Set(Object.keys(textsOf(config, 'credHelpers')));
  for (const [key, entry] of Object.entries(auths)) {
    if (!isJson(entry)) continue;
    // `registry.example/team`: of a part of it. Addresses with a scheme are docker's of before.
    const isPart = key.includes('/') && !key.includes('://');
    if (isPart) found[key] = ofEntry(key, entry);
    else servers.add(serverKey(key));
  }
  for (const server of await storedServers(context, textOf(config, 'credsStore'))) servers.add(server);
  for (const server of servers) {
    try {
      const credentials = await credentialsFor(context, server, config);
      if (credentials !== undefined && !isEmpty(credentials)) found[server] = credentials;
    } catch (error) {
      // The others may still be asked.
      context.io.err(`WARNING: ${server}: ${messageOf(error)}\n`);
    }
  }
  return found;
}

/** A helper that keeps all of them tells of which. */
async function storedServers(context: CommandContext, helper: string): Promise<readonly string[]> {
  if (!/^[\w.-]+$/.test(helper)) return [];
  try {
    const { code, output } = await runWithInput(`docker-credential-${helper}`, ['list'], '', context.environment);
    const list: unknown = code === 0 ? JSON.parse(output) : undefined;
    return isJson(list) ? Object.keys(list).map(serverKey) : [];
  } catch (error) {
    context.io.err(`WARNING: docker-credential-${helper}: ${messageOf(error)}\n`);
    return [];
  }
}

const isEmpty = ({ username = '', password = '', identitytoken = '' }: AuthConfig): boolean =>
  username === '' && password === '' && identitytoken === '';

function readAuthFile(file: string): Json {
  try {
    const document: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    if (isJson(document)) return document;
    throw new TypeError('it is no object');
  } catch (error) {
    throw new ExitError(1, `Cannot read the credentials of "${file}": ${messageOf(error)}`);
  }
}
