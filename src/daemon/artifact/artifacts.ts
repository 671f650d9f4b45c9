/** The verbs on artifacts: list, inspect, upload and create, remove, and the content of a file. */
import * as fs from 'node:fs';
import type { OutputStream } from '#api/jobs/streams.ts';
import type { ArtifactCreateRequest, ArtifactInspect, ArtifactSummary } from '#api/types/artifact.ts';
import type { Artifact } from '#artifact/artifact-store.ts';
import type { ContentLease } from '#content/leases.ts';
import { cancelled, conflict, dataLoss, invalidParameter, notFound } from '#errdefs/errors.ts';
import type { Services } from '../services.ts';

type Needs = Pick<Services, 'artifacts' | 'containers'>;

/** Between an upload and the artifact that it is for. */
const UPLOADED_KEPT_MS = 3600_000;
const READ_BYTES = 1 << 20;

export function listArtifacts({ artifacts }: Needs): ArtifactSummary[] {
  return artifacts
    .list()
    .map(summaryOf)
    .sort((a, b) => (a.Name < b.Name ? -1 : 1));
}

function summaryOf({ name, digest, type, size, createdAt, files }: Artifact): ArtifactSummary {
  return {
    Name: name,
    Digest: digest,
    ArtifactType: type,
    Size: size,
    CreatedAt: createdAt,
    Files: files.map((file) => ({
      Title: file.title,
      Digest: file.digest,
      Size: file.size,
      MediaType: file.mediaType,
    })),
  };
}

export function inspectArtifact({ artifacts }: Needs, nameOrDigest: string): ArtifactInspect {
  const { name, digest } = artifacts.get(nameOrDigest);
  return { Name: name, Digest: digest, Manifest: JSON.parse(artifacts.manifestBytes(digest).toString('utf8')) };
}

const uploads = ({ artifacts }: Needs): ContentLease =>
  artifacts.content.lease({ purpose: 'files of artifacts', key: 'artifact uploads', keepMs: UPLOADED_KEPT_MS });

/** Errors: cancelled; system when the disk is full. */
export async function uploadFile(
  services: Needs,
  file: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ Digest: string; Size: number }> {
  const { content } = services.artifacts;
  using lease = uploads(services);
  await using ingest = content.ingest();
  const hasher = new Bun.CryptoHasher('sha256');
  for await (const bytes of file) {
    if (signal.aborted) throw cancelled('the upload was cancelled');
    hasher.update(bytes);
    ingest.write(bytes);
    await ingest.room();
  }
  await ingest.seal();
  const handle = await fs.promises.open(ingest.path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  const digest = `sha256:${hasher.digest('hex')}`;
  await content.keep([{ file: ingest.path, digest }], lease);
  return { Digest: digest, Size: ingest.size };
}

export function createArtifact(services: Needs, request: ArtifactCreateRequest): { Digest: string } {
  using lease = uploads(services);
  const files = request.Files.map(({ Title, Digest, MediaType }) => ({
    title: Title,
    digest: Digest,
    mediaType: MediaType === '' ? 'application/octet-stream' : MediaType,
  }));
  const { Name: name, Type: type, Annotations: annotations, Replace: replace } = request;
  return { Digest: services.artifacts.create({ name, type, annotations, files, replace }, lease).digest };
}

/** Errors: not-found; conflict while a container has it and no other name is left. */
export function removeArtifact(services: Needs, nameOrDigest: string): { Digest: string } {
  const { name, digest } = services.artifacts.get(nameOrDigest);
  if (services.artifacts.namesOf(digest).length === 1) {
    const user = services.containers
      .all()
      .find(({ mounts }) => mounts.some((mount) => mount.type === 'artifact' && mount.imageId === digest));
    if (user !== undefined) {
      throw conflict(`unable to remove artifact "${name}": container ${user.id.slice(0, 12)} is using it`);
    }
  }
  services.artifacts.remove(name);
  return { Digest: digest };
}

export async function sendFile(
  { artifacts }: Needs,
  { artifact, file, output }: { artifact: string; file: string; output: OutputStream },
  signal: AbortSignal,
): Promise<void> {
  const { name, files } = artifacts.get(artifact);
  if (file === '' && files.length !== 1) {
    throw invalidParameter(`artifact ${name} has ${files.length} files: say which, by title or digest`);
  }
  const found = file === '' ? files[0] : files.find((one) => one.title === file || one.digest === file);
  if (found === undefined) throw notFound(`artifact ${name} has no file ${JSON.stringify(file)}`);
  await using handle = await fs.promises.open(artifacts.content.path(found.digest), 'r');
  if ((await handle.stat()).size !== found.size) throw dataLoss(`file ${found.digest} of artifact ${name} is damaged`);
  output.flush();
  for (;;) {
    if (signal.aborted || output.closed.aborted) throw cancelled('the reading was cancelled');
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, null);
    if (bytesRead === 0) return;
    await output.write(buffer.subarray(0, bytesRead));
  }
}
