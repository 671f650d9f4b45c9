/**
 * `--use-api-socket`: the daemon's socket in the container, where docker's client looks for it, and what this user is
 * logged in to as a config.json beside it, so that a client in there can do what the user can. Loaded when asked for.
 */
import type { ApiClient } from '#api/client/api-client.ts';
import { putContainerArchive } from '#api/client/container-files.ts';
import { type CreateBody, removeContainer } from '#api/client/containers.ts';
import { systemVersion } from '#api/client/system.ts';
import type { AuthConfig } from '#api/types/image.ts';
import { messageOf } from '#errdefs/errors.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { DEFAULT_HOST } from '#api/client/address.ts';
import type { CommandContext } from '../command.ts';
import { allCredentials } from '../registry/all-credentials.ts';

const IN_CONTAINER = '/var/run/docker.sock';
const CONFIG_FOLDER = '/run/secrets/docker';
const VARIABLE = 'DOCKER_CONFIG';
const PRIVATE = 0o600;

export interface ApiSocketUse {
  readonly body: CreateBody;
  /** After the creation, before the start: files of a container can be written then, secrets of its mounts not. */
  finish(id: string): Promise<void>;
}

export async function useApiSocket(context: CommandContext, body: CreateBody): Promise<ApiSocketUse> {
  const client = context.client();
  const socket = await socketOf(client);
  // A variable of the user's means that it is taken care of.
  const own = (body.Env ?? []).some((variable) => variable === VARIABLE || variable.startsWith(`${VARIABLE}=`));
  const found = own ? {} : await allCredentials(context);
  const known = Object.keys(found).length > 0;
  return {
    body: {
      ...body,
      ...(known ? { Env: [...(body.Env ?? []), `${VARIABLE}=${CONFIG_FOLDER}`] } : {}),
      HostConfig: {
        ...body.HostConfig,
        Mounts: [...(body.HostConfig?.Mounts ?? []), { Type: 'bind', Source: socket, Target: IN_CONTAINER }],
      },
    },
    async finish(id) {
      if (known) await giveConfig(client, id, found);
    },
  };
}

/** As the daemon's own host names it: this host's, when it is spoken to by a unix socket. */
async function socketOf(client: ApiClient): Promise<string> {
  const { address } = client;
  if (address.kind === 'unix') return address.path;
  if (address.kind === 'ssh' && address.remote.socket !== '') return address.remote.socket;
  const { Platform } = await systemVersion(client);
  return Platform?.Name === 'Berth' ? DEFAULT_HOST.replace('unix://', '') : IN_CONTAINER;
}

async function giveConfig(client: ApiClient, id: string, found: Readonly<Record<string, AuthConfig>>): Promise<void> {
  const auths = Object.fromEntries(Object.entries(found).map(([server, auth]) => [server, entryOf(auth)]));
  const content = new TextEncoder().encode(JSON.stringify({ auths }, null, '\t'));
  const name = `${CONFIG_FOLDER.slice(1)}/config.json`;
  const pieces = [
    formatEntry(plainEntry(name, { type: 'file', size: content.length, mode: PRIVATE })),
    content,
    new Uint8Array(padding(content.length)),
    endOfArchive,
  ];
  const archive = new Blob(pieces).stream();
  try {
    await putContainerArchive(client, id, { path: '/', noOverwriteDirNonDir: false, copyUIDGID: false }, archive);
  } catch (error) {
    // Half made it is of no use.
    await removeContainer(client, id, { force: true, volumes: true, link: false });
    throw new Error(`injecting docker config.json into container failed: ${messageOf(error)}`, { cause: error });
  }
}

/** As `auths` of config.json keeps it. */
function entryOf({ username = '', password = '', identitytoken = '' }: AuthConfig): Record<string, string> {
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  return { ...(username === '' ? {} : { auth }), ...(identitytoken === '' ? {} : { identitytoken }) };
}
