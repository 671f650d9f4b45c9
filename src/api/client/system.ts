/** Endpoints of the daemon itself, and Berth's own of jobs. */
import type { JobSummary } from '#api/types/job.ts';
import type { EventMessage, SystemInfo, SystemVersion } from '#api/types/system.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';
import { jsonLines } from './json-stream.ts';

export function systemVersion(client: ApiClient): Promise<SystemVersion> {
  return client.json('GET', '/version');
}

export function systemInfo(client: ApiClient): Promise<SystemInfo> {
  return client.json('GET', '/info');
}

export async function* systemEvents(
  client: ApiClient,
  o: { since: string; until: string; filters: FilterMap; signal?: AbortSignal },
): AsyncGenerator<EventMessage, void, undefined> {
  const response = await client.request('GET', '/events', {
    query: { since: o.since, until: o.until, filters: encodeFilters(o.filters) },
    ...(o.signal === undefined ? {} : { signal: o.signal }),
  });
  yield* jsonLines<EventMessage>(response.body, parseEvent);
}

/** The time keeps its nanoseconds: as a number it would be rounded. */
export function parseEvent(line: string): unknown {
  const event: unknown = JSON.parse(line);
  const time = /"timeNano":\s*(\d+)\s*[,}]/.exec(line)?.[1];
  if (typeof event !== 'object' || event === null || time === undefined) return event;
  return { ...event, timeNano: BigInt(time) };
}

export function listJobs(client: ApiClient): Promise<JobSummary[]> {
  return client.json('GET', '/berth/jobs');
}

export function cancelJob(client: ApiClient, id: string): Promise<void> {
  return client.call('POST', `/berth/jobs/${encodeURIComponent(id)}/cancel`);
}
