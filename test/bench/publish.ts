/** Puts images into a registry over HTTP, by no engine. */
import { createHash } from 'node:crypto';

const DOCKER = 'application/vnd.docker';

export const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export async function publish(
  host: string,
  name: string,
  layers: readonly Uint8Array[],
  blobs: readonly Buffer[],
): Promise<void> {
  const repository = name.replace(/:.*/, '');
  for (const blob of blobs) await upload(host, repository, blob);
  const described = blobs.map((blob) => ({ digest: digestOf(blob), size: blob.length }));
  await putImage(host, name, layers.map(digestOf), described);
}

export async function putImage(
  host: string,
  name: string,
  diffIds: readonly string[],
  layers: readonly { readonly digest: string; readonly size: number }[],
): Promise<void> {
  const [repository = '', tag = ''] = name.split(':');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: { Cmd: ['sh'] }, rootfs }));
  await upload(host, repository, config);
  const manifest = {
    schemaVersion: 2,
    mediaType: `${DOCKER}.distribution.manifest.v2+json`,
    config: { mediaType: `${DOCKER}.container.image.v1+json`, digest: digestOf(config), size: config.length },
    layers: layers.map((layer) => ({ mediaType: `${DOCKER}.image.rootfs.diff.tar.gzip`, ...layer })),
  };
  const response = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'Content-Type': manifest.mediaType },
    body: JSON.stringify(manifest),
  });
  if (response.status !== 201) throw new Error(`the manifest of ${name}: ${response.status} ${await response.text()}`);
}

export async function upload(host: string, repository: string, blob: Buffer): Promise<void> {
  const begun = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const place = new URL(begun.headers.get('location') ?? '', `http://${host}`);
  place.searchParams.set('digest', digestOf(blob));
  const response = await fetch(place, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/octet-stream' },
    // as: `BodyInit` wants memory that is not shared, which this is not.
    body: blob as Uint8Array<ArrayBuffer>,
  });
  if (response.status !== 201) throw new Error(`a blob of ${repository}: ${response.status} ${await response.text()}`);
}
