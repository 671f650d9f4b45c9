/**
 * `image copy`: from one registry to another without unpacking and without this host's store. Blobs go from stream to
 * stream through a bounded file; an index goes with all its platforms, or with one where that is asked for.
 */
import * as fs from 'node:fs';
import { createHash } from 'node:crypto';
import type { ContentStore } from '#content/content-store.ts';
import { childrenOf, type Descriptor, type Manifest, type Platform } from '#content/descriptor.ts';
import { cancelled, dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { bestPlatform } from '#image/platform.ts';
import { barMessage, type Tell } from '#image/progress.ts';
import { familiarString, type Reference, withDefaultTag } from '#reference/reference.ts';
import { hasBlob, openBlob } from '#registry/blobs.ts';
import { pieces } from '#registry/body.ts';
import type { Repository, Session } from '#registry/registry-client.ts';
import { mountBlob, putManifest, uploadBlob } from '#registry/uploads.ts';
import { translatePull } from './pull-failures.ts';
import { shortDigest } from './pull-progress.ts';
import { fetchDocument, type FoundDocument, resolveTop } from './resolve.ts';

const DEPTH_MAX = 4;
const DOCUMENTS_MAX = 200;
const AT_ONCE = 3;

export interface CopyMeans {
  readonly content: ContentStore;
}

export interface CopyInput {
  readonly from: { readonly reference: Reference; readonly repository: Repository };
  readonly to: { readonly reference: Reference; readonly repository: Repository };
  /** Undefined: everything that the name stands for. */
  readonly platform: Platform | undefined;
  readonly tell: Tell;
  readonly signal: AbortSignal | undefined;
}

/** Answers the digest. Errors: of the registries, in pull's words for the source. */
export async function copyImage({ content }: CopyMeans, input: CopyInput): Promise<string> {
  const { from, to, tell } = input;
  const source = withDefaultTag(from.reference);
  const target = withDefaultTag(to.reference);
  if (target.digest !== undefined && target.tag === undefined && source.digest !== target.digest) {
    throw invalidParameter(
      `Cannot copy to "${familiarString(target)}": a digest is what comes out, not what is wished`,
    );
  }
  await tell({ status: `Copying ${familiarString(source)} to ${familiarString(target)}` });
  let top: FoundDocument;
  let documents: readonly FoundDocument[];
  try {
    top = await resolveTop(from.repository, source, undefined);
    if (input.platform !== undefined) top = await onlyPlatform(from.repository, source, top, input.platform);
    documents = await everything(from.repository, source, top);
  } catch (error) {
    throw translatePull(error, source);
  }
  const session = await writable(to.repository);
  await copyBlobs(content, input, blobsOf(documents), { session, first: top.session });
  for (const { bytes, descriptor } of documents) {
    if (descriptor.digest !== top.descriptor.digest) {
      await putManifest(to.repository, session, { bytes, ...descriptor }, descriptor.digest);
    }
  }
  const { digest, size } = top.descriptor;
  await putManifest(to.repository, session, { bytes: top.bytes, ...top.descriptor }, target.tag ?? digest);
  await tell({ status: `${target.tag ?? digest}: digest: ${digest} size: ${size}` });
  return digest;
}

async function onlyPlatform(
  repository: Repository,
  reference: Reference,
  top: FoundDocument,
  platform: Platform,
): Promise<FoundDocument> {
  let current = top;
  for (let depth = 0; current.document.kind === 'index'; depth++) {
    const offers = current.document.manifests.filter((entry) => entry.platform !== undefined);
    const chosen = bestPlatform(platform, offers, (entry) => entry.platform ?? platform);
    if (chosen === undefined || depth >= DEPTH_MAX) {
      throw invalidParameter(`Cannot copy "${familiarString(reference)}": it has no manifest for this platform`);
    }
    current = await fetchDocument(repository, reference, chosen, { content: undefined, first: current.session });
  }
  return current;
}

/** What a document names, deepest first, itself last. */
async function everything(repository: Repository, reference: Reference, top: FoundDocument): Promise<FoundDocument[]> {
  const found = new Map<string, FoundDocument>();
  const visit = async (document: FoundDocument, depth: number): Promise<void> => {
    if (depth > DEPTH_MAX || found.size > DOCUMENTS_MAX) throw dataLoss('invalid image index: nested too deeply');
    if (document.document.kind === 'index') {
      for (const child of document.document.manifests) {
        if (found.has(child.digest)) continue;
        const options = { content: undefined, first: document.session };
        await visit(await fetchDocument(repository, reference, child, options), depth + 1);
      }
    }
    found.set(document.descriptor.digest, document);
  };
  await visit(top, 0);
  return [...found.values()];
}

function blobsOf(documents: readonly FoundDocument[]): Descriptor[] {
  const blobs = new Map<string, Descriptor>();
  const manifests = documents.map(({ document }) => document).filter((d): d is Manifest => d.kind === 'manifest');
  for (const manifest of manifests) for (const blob of childrenOf(manifest)) blobs.set(blob.digest, blob);
  return [...blobs.values()];
}

export async function writable(repository: Repository): Promise<Session> {
  const { session, response } = await repository.ask({
    method: 'GET',
    url: '/',
    capability: 'push',
    scopes: repository.scopes('push'),
    accept: [200, 404],
    again: true,
  });
  await response.body?.cancel();
  return session;
}

async function copyBlobs(
  content: ContentStore,
  input: CopyInput,
  blobs: readonly Descriptor[],
  sessions: { readonly session: Session; readonly first: Session | undefined },
): Promise<void> {
  const waiting = [...blobs];
  let failed = false;
  const one = async (): Promise<void> => {
    for (let blob = waiting.shift(); blob !== undefined && !failed; blob = waiting.shift()) {
      try {
        await copyBlob(content, input, blob, sessions);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: AT_ONCE }, one));
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
}

async function copyBlob(
  content: ContentStore,
  { from, to, tell, signal }: CopyInput,
  blob: Descriptor,
  { session, first }: { readonly session: Session; readonly first: Session | undefined },
): Promise<void> {
  const { digest, size } = blob;
  const id = shortDigest(digest);
  const status = (text: string): Promise<void> => tell({ status: text, progressDetail: {}, id });
  if (await hasBlob(to.repository, digest, session)) return status('Layer already exists');
  let location: string | undefined;
  if (from.repository.domain === to.repository.domain) {
    const tried = await mountBlob(to.repository, session, digest, from.repository.path);
    if (tried.mounted) return status(`Mounted from ${from.repository.path}`);
    location = tried.location;
  }
  using scratch = content.scratch();
  await fetchInto(scratch.path, from.repository, blob, { first, tell, signal });
  const file = Bun.file(scratch.path);
  await uploadBlob(
    to.repository,
    session,
    { digest, size, slice: (start, end) => file.slice(start, end) },
    { location },
  );
  return status('Pushed');
}

/** Verified: a registry must not make us pass on what is not what it says. */
async function fetchInto(
  file: string,
  repository: Repository,
  blob: Descriptor,
  options: { readonly first: Session | undefined; readonly tell: Tell; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { digest, size } = blob;
  const [session] = repository.sessions('pull', options.first);
  if (session === undefined) throw dataLoss(`no server has blob ${digest}`);
  const hash = createHash('sha256');
  const handle = await fs.promises.open(file, 'wx', 0o600);
  try {
    let at = 0;
    let shownMs = 0;
    const context = repository.context(session, repository.scopes('pull'));
    const opened = await openBlob(context, { path: repository.path, digest, size });
    for await (const piece of pieces(opened.body, { what: opened.what, signal: options.signal })) {
      if (options.signal?.aborted === true) throw cancelled('context canceled');
      if (at + piece.length > size)
        throw dataLoss(`blob ${digest} is longer than the ${size} bytes that its descriptor says`);
      hash.update(piece);
      await handle.write(piece, 0, piece.length, at);
      at += piece.length;
      if (Date.now() < shownMs + 100) continue;
      shownMs = Date.now();
      await options.tell(barMessage('Copying', shortDigest(digest), at, size));
    }
    const found = `sha256:${hash.digest('hex')}`;
    if (at !== size || found !== digest)
      throw dataLoss(`verification failed for digest ${digest}: what came is ${found}`);
  } finally {
    await handle.close();
  }
}
