/** Endpoints of OCI artifacts, which only Berth has. */
import type { ArtifactCreateRequest, ArtifactInspect, ArtifactSummary } from '#api/types/artifact.ts';
import type { ProgressMessage } from '#api/types/image.ts';
import type { ApiClient } from './api-client.ts';
import { jsonLines } from './json-stream.ts';

const at = (name: string, verb = '') =>
  `/berth/artifacts/${encodeURI(name).replace(/[?#]/g, encodeURIComponent)}${verb}`;

export function listArtifacts(client: ApiClient): Promise<ArtifactSummary[]> {
  return client.json('GET', '/berth/artifacts');
}

export function inspectArtifact(client: ApiClient, name: string): Promise<ArtifactInspect> {
  return client.json('GET', at(name, '/json'));
}

export function uploadArtifactFile(client: ApiClient, file: Blob): Promise<{ Digest: string; Size: number }> {
  return client.json('POST', '/berth/artifacts/files', { body: file, contentType: 'application/octet-stream' });
}

export function createArtifact(client: ApiClient, json: ArtifactCreateRequest): Promise<{ Digest: string }> {
  return client.json('POST', '/berth/artifacts/create', { json });
}

export function removeArtifact(client: ApiClient, name: string): Promise<{ Digest: string }> {
  return client.json('DELETE', at(name));
}

/** `file`: a title or digest; '' for the only one. */
export async function readArtifactFile(client: ApiClient, name: string, file: string): Promise<Response> {
  return client.request('GET', at(name, '/file'), { query: { file } });
}

type Headers = Readonly<Record<string, string>>;

export async function* pullArtifact(
  client: ApiClient,
  name: string,
  headers: Headers,
): AsyncGenerator<ProgressMessage, void, undefined> {
  const response = await client.request('POST', '/berth/artifacts/pull', { query: { name }, headers });
  yield* jsonLines<ProgressMessage>(response.body);
}

export async function* pushArtifact(
  client: ApiClient,
  name: string,
  headers: Headers,
): AsyncGenerator<ProgressMessage, void, undefined> {
  const response = await client.request('POST', at(name, '/push'), { headers });
  yield* jsonLines<ProgressMessage>(response.body);
}
