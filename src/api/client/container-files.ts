/** Endpoints of containers' files: archive, changes, export, commit. */
import type { ContainerChange, ContainerPathStat } from '#api/types/container.ts';
import { systemError } from '#errdefs/errors.ts';
import type { ApiClient } from './api-client.ts';

const at = (container: string, verb: string) => `/containers/${encodeURIComponent(container)}/${verb}`;

function statOf(response: Response): ContainerPathStat {
  const header = response.headers.get('x-docker-container-path-stat') ?? '';
  try {
    // as: what the API documents for this header.
    return JSON.parse(Buffer.from(header, 'base64').toString()) as ContainerPathStat;
  } catch (cause) {
    throw systemError('unable to decode container path stat header', { cause });
  }
}

export async function statContainerPath(
  client: ApiClient,
  container: string,
  path: string,
): Promise<ContainerPathStat> {
  return statOf(await client.request('HEAD', at(container, 'archive'), { query: { path } }));
}

export interface ContainerArchive {
  readonly stat: ContainerPathStat;
  readonly body: ReadableStream<Uint8Array>;
}

export async function getContainerArchive(
  client: ApiClient,
  container: string,
  path: string,
): Promise<ContainerArchive> {
  const response = await client.request('GET', at(container, 'archive'), { query: { path } });
  if (response.body === null) throw systemError('the daemon sent no archive');
  return { stat: statOf(response), body: response.body };
}

export function putContainerArchive(
  client: ApiClient,
  container: string,
  o: { readonly path: string; readonly noOverwriteDirNonDir: boolean; readonly copyUIDGID: boolean },
  archive: ReadableStream<Uint8Array>,
): Promise<void> {
  const query = {
    path: o.path,
    noOverwriteDirNonDir: o.noOverwriteDirNonDir ? 'true' : undefined,
    copyUIDGID: o.copyUIDGID ? 'true' : undefined,
  };
  return client.call('PUT', at(container, 'archive'), { query, body: archive });
}

/** null from a daemon that has nothing to tell. */
export async function containerChanges(client: ApiClient, container: string): Promise<ContainerChange[]> {
  return (await client.json<ContainerChange[] | null>('GET', at(container, 'changes'))) ?? [];
}

export async function exportContainer(client: ApiClient, container: string): Promise<ReadableStream<Uint8Array>> {
  const response = await client.request('GET', at(container, 'export'));
  if (response.body === null) throw systemError('the daemon sent no archive');
  return response.body;
}

export interface CommitOptions {
  readonly repo: string;
  readonly tag: string;
  readonly author: string;
  readonly comment: string;
  readonly changes: readonly string[];
  readonly pause: boolean;
}

export async function commitContainer(client: ApiClient, container: string, o: CommitOptions): Promise<string> {
  const { pause, ...rest } = o;
  const query = { container, ...rest, pause: pause ? undefined : '0' };
  const { Id } = await client.json<{ Id: string }>('POST', '/commit', { query, json: null });
  return Id;
}
