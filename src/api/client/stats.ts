/** Statistics of containers. */
import type { ContainerStats } from '#api/types/stats.ts';
import type { ApiClient } from './api-client.ts';
import { jsonLines } from './json-stream.ts';

const at = (container: string) => `/containers/${encodeURIComponent(container)}/stats`;

/** One frame that stands on two samples. */
export function statsOnce(client: ApiClient, container: string): Promise<ContainerStats> {
  return client.json('GET', at(container), { query: { stream: 'false' } });
}

/** A frame a second until the container is gone. */
export async function* statsStream(
  client: ApiClient,
  container: string,
  signal: AbortSignal,
): AsyncGenerator<ContainerStats, void, undefined> {
  const response = await client.request('GET', at(container), { query: { stream: true }, signal });
  yield* jsonLines<ContainerStats>(response.body);
}
