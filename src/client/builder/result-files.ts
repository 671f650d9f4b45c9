/** The file system of an image, through a container that is never started. */
import type { ApiClient } from '#api/client/api-client.ts';

export async function createFromImage(client: ApiClient, image: string): Promise<string> {
  // An image of files only has no command; this one is never run.
  const json = { Image: image, Cmd: ['/'], HostConfig: { NetworkMode: 'none' } };
  const { Id } = await client.json<{ readonly Id: string }>('POST', '/containers/create', { json });
  return Id;
}

export async function exportFiles(client: ApiClient, container: string): Promise<ReadableStream<Uint8Array>> {
  const { body } = await client.request('GET', `/containers/${container}/export`);
  return body ?? new ReadableStream();
}

export function deleteContainer(client: ApiClient, container: string): Promise<void> {
  return client.call('DELETE', `/containers/${container}`, { query: { force: true, v: true } });
}
