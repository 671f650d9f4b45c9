/** A container's logs as the daemon streams them, taken apart into its two streams; a terminal has but one. */
import type { ApiClient } from '#api/client/api-client.ts';
import { containerLogs, type LogsOptions } from '#api/client/containers.ts';
import { demultiplex, type DemultiplexedOutput } from '#api/client/demultiplex.ts';
import type { ContainerInspect } from '#api/types/container.ts';

export type LogsQuery = Omit<LogsOptions, 'signal'>;

export async function streamLogs(
  client: ApiClient,
  { Id, Config }: Pick<ContainerInspect, 'Id' | 'Config'>,
  query: LogsQuery,
  output: DemultiplexedOutput,
): Promise<void> {
  const response = await containerLogs(client, Id, query);
  if (response.body === null) return;
  const body: AsyncIterable<Uint8Array> = response.body;
  if (Config.Tty) for await (const chunk of body) await output.stdout(chunk);
  else await demultiplex(body, output);
}
