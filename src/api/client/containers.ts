/** Endpoints of containers. Names and ids are encoded here; nothing else touches a path. */
import type {
  ContainerConfig,
  ContainerCreateResponse,
  ContainerInspect,
  ContainerSummary,
  ContainerTopResponse,
  ContainerWaitResponse,
  HostConfig,
  NetworkingConfig,
} from '#api/types/container.ts';
import type { Why } from '#api/types/why.ts';
import type { ContainerUpdateRequest, ContainerUpdateResponse } from '#api/types/update.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { HijackedConnection } from './hijack.ts';

const at = (container: string, verb = '') => `/containers/${encodeURIComponent(container)}${verb}`;

export type FilterMap = ReadonlyMap<string, readonly string[]>;

/** Berth's own: also of a container that is gone. */
export function whyContainer(client: ApiClient, container: string): Promise<Why> {
  return client.json('GET', `/berth${at(container, '/why')}`);
}

export function listContainers(
  client: ApiClient,
  o: { all: boolean; limit?: number; size?: boolean; filters: FilterMap },
): Promise<ContainerSummary[]> {
  const limit = o.limit !== undefined && o.limit > 0 ? o.limit : undefined;
  return client.json('GET', '/containers/json', {
    query: { all: o.all, limit, size: o.size, filters: encodeFilters(o.filters) },
  });
}

export function inspectContainer(client: ApiClient, container: string, size = false): Promise<ContainerInspect> {
  return client.json('GET', at(container, '/json'), { query: { size } });
}

/** What the CLI sends: Config's fields beside HostConfig and NetworkingConfig. */
export type CreateBody = Partial<ContainerConfig> & {
  readonly HostConfig: Partial<HostConfig>;
  readonly NetworkingConfig: NetworkingConfig;
};

export function createContainer(
  client: ApiClient,
  body: CreateBody,
  o: { name: string; platform: string },
): Promise<ContainerCreateResponse> {
  return client.json('POST', '/containers/create', { query: { name: o.name, platform: o.platform }, json: body });
}

export function startContainer(client: ApiClient, container: string, detachKeys = ''): Promise<void> {
  return notModifiedIsFine(client.call('POST', at(container, '/start'), { query: { detachKeys } }));
}

export interface StopOptions {
  readonly signal?: string;
  readonly timeoutSeconds?: number | undefined;
}

export function stopContainer(client: ApiClient, container: string, o: StopOptions): Promise<void> {
  const query = { signal: o.signal, t: o.timeoutSeconds };
  return notModifiedIsFine(client.call('POST', at(container, '/stop'), { query }));
}

export function restartContainer(client: ApiClient, container: string, o: StopOptions): Promise<void> {
  return client.call('POST', at(container, '/restart'), { query: { signal: o.signal, t: o.timeoutSeconds } });
}

export function killContainer(client: ApiClient, container: string, signal: string): Promise<void> {
  return client.call('POST', at(container, '/kill'), { query: { signal } });
}

export function pauseContainer(client: ApiClient, container: string): Promise<void> {
  return client.call('POST', at(container, '/pause'));
}

export function unpauseContainer(client: ApiClient, container: string): Promise<void> {
  return client.call('POST', at(container, '/unpause'));
}

/**
 * The outer promise settles when the daemon has taken the wait (its head has come): from then on no exit is missed.
 * The inner one is the exit.
 */
export async function waitContainer(
  client: ApiClient,
  container: string,
  condition: 'not-running' | 'next-exit' | 'removed',
  signal?: AbortSignal,
): Promise<{ readonly exit: Promise<ContainerWaitResponse> }> {
  const options = { query: { condition }, ...(signal === undefined ? {} : { signal }) };
  const answer = await client.answer('POST', at(container, '/wait'), options);
  // as: the documented body of this endpoint.
  const exit = answer.text().then((text) => JSON.parse(text) as ContainerWaitResponse);
  // Nobody may be listening yet when it fails; whoever awaits it later still sees the failure.
  exit.catch(() => undefined);
  return { exit };
}

export function removeContainer(
  client: ApiClient,
  container: string,
  o: { force: boolean; volumes: boolean; link: boolean },
): Promise<void> {
  return client.call('DELETE', at(container), { query: { force: o.force, v: o.volumes, link: o.link } });
}

export function renameContainer(client: ApiClient, container: string, name: string): Promise<void> {
  return client.call('POST', at(container, '/rename'), { query: { name } });
}

export function updateContainer(
  client: ApiClient,
  container: string,
  body: Partial<ContainerUpdateRequest>,
): Promise<ContainerUpdateResponse> {
  return client.json('POST', at(container, '/update'), { json: body });
}

export function resizeContainer(client: ApiClient, container: string, height: number, width: number): Promise<void> {
  return client.call('POST', at(container, '/resize'), { query: { h: height, w: width } });
}

export function topContainer(client: ApiClient, container: string, psArgs: string): Promise<ContainerTopResponse> {
  return client.json('GET', at(container, '/top'), { query: { ps_args: psArgs } });
}

export interface SearchOptions {
  readonly pattern: string;
  /** None: all. */
  readonly containers: readonly string[];
  readonly since: string;
  readonly until: string;
}

/** Lines of JSON, one for each that was found. Berth's own. */
export function searchLogs(client: ApiClient, o: SearchOptions): Promise<Response> {
  const { pattern, containers, since, until } = o;
  return client.request('GET', '/berth/logs', { query: { grep: pattern, container: containers, since, until } });
}

export interface LogsOptions {
  readonly follow: boolean;
  readonly since: string;
  readonly until: string;
  readonly timestamps: boolean;
  readonly tail: string;
  readonly details: boolean;
  readonly signal?: AbortSignal;
}

export function containerLogs(client: ApiClient, container: string, o: LogsOptions): Promise<Response> {
  const { signal, ...query } = o;
  return client.request('GET', at(container, '/logs'), {
    query: { stdout: true, stderr: true, ...query },
    ...(signal === undefined ? {} : { signal }),
  });
}

export interface AttachOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly logs?: boolean;
  readonly detachKeys: string;
}

export function attachContainer(client: ApiClient, container: string, o: AttachOptions): Promise<HijackedConnection> {
  return client.hijack(at(container, '/attach'), { query: { stream: true, ...o } });
}

async function notModifiedIsFine(call: Promise<void>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isNotModified(error)) throw error;
  }
}

function isNotModified(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'kind' in error && error.kind === 'not-modified';
}
