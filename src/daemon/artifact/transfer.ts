/** Artifacts from registries and to them, by the means of images: same credentials, mirrors and limits. */
import { algorithmOf } from '#content/digest.ts';
import * as fs from 'node:fs';
import type { ArtifactTransfer } from '#api/jobs/artifact.ts';
import { type Artifact, artifactReference } from '#artifact/artifact-store.ts';
import type { ContentLease } from '#content/leases.ts';
import { type Descriptor, isImageManifest, type Manifest } from '#content/descriptor.ts';
import { writable } from '#distribution/copy.ts';
import { translatePull } from '#distribution/pull-failures.ts';
import { shortDigest } from '#distribution/pull-progress.ts';
import { type FoundDocument, resolveTop } from '#distribution/resolve.ts';
import { cancelled, dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { barMessage, progressTo, type Tell } from '#image/progress.ts';
import { familiarString, type Reference } from '#reference/reference.ts';
import { hasBlob, openBlob } from '#registry/blobs.ts';
import { pieces } from '#registry/body.ts';
import { anonymous, decodeCredentials } from '#registry/credentials.ts';
import type { Repository } from '#registry/registry-client.ts';
import { putManifest, uploadBlob } from '#registry/uploads.ts';
import { admitBy } from '../image/admit.ts';
import { locationsOf } from '../image/where.ts';
import type { Services } from '../services.ts';

const EVERY_MS = 100;
const FILE_BYTES_MAX = 2 ** 43;

type Needs = Pick<Services, 'artifacts' | 'distribution' | 'registriesConf' | 'trust'>;

/**
 * By the rules for images: mirrors, blocks, pinned digests, signatures. Errors: not-found in pull's words; forbidden;
 * invalid-parameter when it is an image; data-loss when the registry lies.
 */
export async function pullArtifact(services: Needs, input: ArtifactTransfer, signal: AbortSignal): Promise<Artifact> {
  const { artifacts } = services;
  const reference = artifactReference(input.artifact);
  const name = familiarString(reference);
  services.trust.admit(reference);
  const tell = progressTo(input.progress);
  await tell({ status: `Pulling ${name}` });
  const { top, repository } = await firstThatHas(services, reference, input.auth, signal);
  const manifest = artifactManifest(top, name);
  await admitBy(services.trust)({ reference, digests: [top.descriptor.digest], repository });
  using lease = artifacts.content.lease({ purpose: `pull artifact ${name}` });
  for (const blob of blobsOf(manifest)) await fetchFile(services, { repository, blob, lease, tell, signal }, top);
  await artifacts.content.put(top.bytes, lease, algorithmOf(top.descriptor.digest));
  const made = artifacts.record(reference, top.descriptor.digest);
  await tell({ status: `Digest: ${made.digest}` });
  await tell({ status: `Status: Downloaded ${made.name}` });
  return made;
}

async function firstThatHas(
  services: Needs,
  reference: Reference,
  auth: string,
  signal: AbortSignal,
): Promise<{ readonly top: FoundDocument; readonly repository: Repository }> {
  const distribution = await services.distribution();
  let failure: unknown;
  for (const location of locationsOf(services.registriesConf(), reference)) {
    const credentials = location.domain === reference.domain ? decodeCredentials(auth) : anonymous;
    const repository = await distribution.repository(location, credentials, signal);
    try {
      return { top: await resolveTop(repository, reference, undefined), repository };
    } catch (error) {
      if (signal.aborted) throw error;
      failure = error;
    }
  }
  throw translatePull(failure, reference);
}

function artifactManifest({ document }: FoundDocument, name: string): Manifest {
  if (document.kind === 'manifest' && !isImageManifest(document)) return document;
  const what = document.kind === 'index' ? 'an index of several manifests' : 'an image';
  throw invalidParameter(`Cannot pull "${name}" as an artifact: it is ${what}`);
}

const blobsOf = ({ config, layers }: Manifest): Descriptor[] => [
  ...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values(),
];

interface Fetch {
  readonly repository: Repository;
  readonly blob: Descriptor;
  readonly lease: ContentLease;
  readonly tell: Tell;
  readonly signal: AbortSignal;
}

async function fetchFile({ artifacts }: Needs, fetch: Fetch, top: FoundDocument): Promise<void> {
  const { repository, blob, lease, tell, signal } = fetch;
  const { content } = artifacts;
  const { digest, size } = blob;
  lease.add(digest);
  const id = shortDigest(digest);
  if (content.size(digest) === size) return tell({ status: 'Already exists', progressDetail: {}, id });
  if (size > FILE_BYTES_MAX) throw dataLoss(`invalid artifact: file ${digest} says that it has ${size} bytes`);
  const [session] = repository.sessions('pull', top.session);
  if (session === undefined) throw dataLoss(`no server has file ${digest}`);
  await using ingest = content.ingest();
  const hasher = new Bun.CryptoHasher('sha256');
  const context = repository.context(session, repository.scopes('pull'));
  const opened = await openBlob(context, { path: repository.path, digest, size });
  let shownMs = 0;
  for await (const piece of pieces(opened.body, { what: opened.what, signal })) {
    if (signal.aborted) throw cancelled('context canceled');
    if (ingest.size + piece.length > size) {
      throw dataLoss(`file ${digest} is longer than the ${size} bytes that its descriptor says`);
    }
    hasher.update(piece);
    ingest.write(piece);
    await ingest.room();
    if (Date.now() < shownMs + EVERY_MS) continue;
    shownMs = Date.now();
    await tell(barMessage('Downloading', id, ingest.size, size));
  }
  await ingest.seal();
  const found = `sha256:${hasher.digest('hex')}`;
  if (ingest.size !== size || found !== digest) {
    throw dataLoss(`verification failed for digest ${digest}: what came is ${found}`);
  }
  await syncFile(ingest.path);
  await content.keep([{ file: ingest.path, digest }], lease);
  return tell({ status: 'Pull complete', progressDetail: {}, id });
}

async function syncFile(file: string): Promise<void> {
  await using handle = await fs.promises.open(file, 'r');
  await handle.sync();
}

/** Errors: not-found; unauthorized and others in the registry's words. */
export async function pushArtifact(services: Needs, input: ArtifactTransfer, signal: AbortSignal): Promise<void> {
  const { artifacts } = services;
  const artifact = artifacts.get(input.artifact);
  const reference = artifactReference(artifact.name);
  // Refuses what is blocked; what is pushed goes where its name says.
  locationsOf(services.registriesConf(), reference);
  const tell = progressTo(input.progress);
  const repository = await (await services.distribution()).repository(reference, decodeCredentials(input.auth), signal);
  await tell({ status: `The push refers to artifact [${artifact.name}]` });
  using lease = artifacts.content.lease({ purpose: `push artifact ${artifact.name}` });
  lease.add(artifact.digest);
  const manifest = artifacts.content.document(artifact.digest);
  if (manifest?.kind !== 'manifest') throw dataLoss(`the manifest of artifact ${artifact.name} is damaged`);
  const blobs = blobsOf(manifest);
  for (const { digest } of blobs) lease.add(digest);
  const session = await writable(repository);
  for (const { digest, size } of blobs) {
    const id = shortDigest(digest);
    if (await hasBlob(repository, digest, session)) {
      await tell({ status: 'Already exists', progressDetail: {}, id });
      continue;
    }
    const file = Bun.file(artifacts.content.path(digest));
    const source = { digest, size, slice: (start: number, end: number) => file.slice(start, end) };
    const progress = (bytes: number): void => void tell(barMessage('Pushing', id, bytes, size)).catch(() => undefined);
    await uploadBlob(repository, session, source, { progress });
    await tell({ status: 'Pushed', progressDetail: {}, id });
  }
  const { digest } = artifact;
  const bytes = artifacts.manifestBytes(digest);
  await putManifest(repository, session, { bytes, mediaType: manifest.mediaType, digest }, reference.tag ?? digest);
  await tell({ status: `${reference.tag ?? digest}: digest: ${digest} size: ${bytes.length}` });
}
