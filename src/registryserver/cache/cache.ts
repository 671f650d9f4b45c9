/**
 * Pull-through: repositories whose content comes from another registry the first time it is asked for. A tag is looked
 * up upstream when it is no longer fresh; when upstream is away or has had enough of us, what is here is served, marked
 * as stale. What has a digest never changes and is never looked up again.
 */
import { algorithmOf } from '#content/digest.ts';
import { digestOf } from '#content/content-store.ts';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import type { Repository } from '../catalogue.ts';
import { RegistryError } from '../errors.ts';
import { readManifest } from '../manifest.ts';
import { blobUnknown, isDigest, isTag } from '../names.ts';
import type { ReadThrough, Registry } from '../registry.ts';
import { blobHeaders, getBlob } from '../serve-blobs.ts';
import { manifestResponse, manifestUnknown, recordOf } from '../serve-manifests.ts';
import { Download } from './download.ts';
import { type Upstream, UpstreamFailure } from './upstream.ts';

/** For an answer when something is here that can be served instead, and when nothing is. */
const PATIENCE_WITH_COPY_MS = 5_000;
const PATIENCE_MS = 60_000;
/** An upstream that was unreachable is not asked again so soon when something is here. */
const REST_MS = 30_000;
const REST_MS_MAX = 15 * 60_000;
/** The time of the last use is written once in so many parts of the time that things are kept. */
const USE_PARTS = 8;

export interface CachedRegistry {
  /** '' for all repositories. */
  readonly prefix: string;
  readonly upstream: Upstream;
}

export interface CacheOptions {
  readonly registry: Registry;
  readonly upstreams: readonly CachedRegistry[];
  readonly freshMs: number;
  /** 0: nothing is forgotten. */
  readonly keepMs: number;
}

interface Source {
  readonly upstream: Upstream;
  /** The repository's name there. */
  readonly path: string;
}

export class Cache implements ReadThrough, Disposable {
  readonly #options: CacheOptions;
  readonly #stop = new AbortController();
  readonly #downloads = new Map<string, Download>();
  readonly #lookups = new Map<string, Promise<boolean>>();
  /** Until when an upstream is left alone. */
  readonly #resting = new Map<Upstream, number>();

  constructor(options: CacheOptions) {
    this.#options = options;
  }

  /** Whether a repository is one of another registry. */
  covers(name: string): boolean {
    return this.#sourceOf(name) !== undefined;
  }

  /** The name here of a repository that a client asks for by its registry (`?ns=`), as containerd does of a mirror. */
  nameOf(name: string, namespace: string): string {
    const known = this.#options.upstreams.some(({ prefix }) => prefix !== '' && prefix === namespace);
    return known ? `${namespace}/${name}` : name;
  }

  /** Manifests of a cached repository that nobody has asked for for long. */
  unusedOf(repository: Repository): string[] {
    const { registry, keepMs } = this.#options;
    if (keepMs <= 0 || !this.covers(repository.name)) return [];
    const oldMs = registry.now - keepMs;
    return [...repository.manifests].filter(([, { pushedMs }]) => pushedMs < oldMs).map(([digest]) => digest);
  }

  async manifest(name: string, reference: string, request: Request): Promise<Response> {
    const { registry } = this.#options;
    if (!isDigest(reference) && !isTag(reference)) throw manifestUnknown(reference);
    const isStale = isDigest(reference)
      ? await this.#haveManifest(name, reference)
      : await once(this.#lookups, `${name}:${reference}`, () => this.#lookUp(name, reference));
    const repository = registry.catalogue.repository(name);
    const tagged = repository?.tags.get(reference);
    const digest = isDigest(reference) ? reference : tagged?.digest;
    const record = digest === undefined ? undefined : repository?.manifests.get(digest);
    if (digest === undefined || record === undefined) throw manifestUnknown(reference);
    this.#used(name, digest);
    const age = Math.max(0, Math.floor((registry.now - (tagged?.atMs ?? registry.now)) / 1000));
    const stale = { warning: '110 - "Response is Stale"', age: String(age), 'berth-stale': 'true' };
    return manifestResponse(registry, digest, record, request, isStale ? stale : {});
  }

  async blob(name: string, digest: string, request: Request): Promise<Response> {
    const { registry } = this.#options;
    this.#linkWhatIsHere(name, digest);
    if (registry.hasBlob(name, digest)) return getBlob(registry, name, digest, request);
    const { upstream, path } = this.#needed(name);
    if (request.method === 'HEAD') {
      const signal = this.#limited(PATIENCE_MS);
      const size = await translated(upstream.blobSize({ path, signal }, digest), () => blobUnknown(digest));
      return new Response(null, { headers: { ...blobHeaders(digest), 'content-length': String(size) } });
    }
    const download = this.#download(name, digest, upstream, path);
    await download.started;
    // Of what is not whole yet, only the whole is streamed.
    if (request.headers.has('range')) await download.done;
    if (download.failure !== undefined) throw toRegistryError(download.failure, () => blobUnknown(digest));
    if (registry.hasBlob(name, digest)) return getBlob(registry, name, digest, request);
    const headers: Record<string, string> = blobHeaders(digest);
    delete headers['accept-ranges'];
    if (download.size !== undefined) headers['content-length'] = String(download.size);
    return new Response(download.stream(), { headers });
  }

  /** Upstream's, or what is here when it does not answer. */
  async tags(name: string): Promise<readonly string[]> {
    const { registry } = this.#options;
    const { upstream, path } = this.#needed(name);
    const local = registry.catalogue.repository(name)?.tagNames.page(undefined, Infinity).names ?? [];
    if (local.length > 0 && this.#rests(upstream)) return local;
    try {
      return await upstream.tags({
        path,
        signal: this.#limited(local.length > 0 ? PATIENCE_WITH_COPY_MS : PATIENCE_MS),
      });
    } catch (error) {
      if (local.length > 0 && isAway(error)) return local;
      const missing = () =>
        new RegistryError('NAME_UNKNOWN', 'repository name not known to registry', { detail: { name } });
      throw toRegistryError(error, missing);
    }
  }

  async referrers(name: string, digest: string): Promise<readonly unknown[] | undefined> {
    const { upstream, path } = this.#needed(name);
    if (this.#rests(upstream)) return undefined;
    try {
      return await upstream.referrers({ path, signal: this.#limited(PATIENCE_WITH_COPY_MS) }, digest);
    } catch (error) {
      log.debug('the upstream does not tell what refers to a manifest', {
        repository: name,
        digest,
        err: messageOf(error),
      });
      return undefined;
    }
  }

  /** Downloads in progress are broken off. */
  [Symbol.dispose](): void {
    this.#stop.abort();
  }

  #sourceOf(name: string): Source | undefined {
    for (const { prefix, upstream } of this.#options.upstreams) {
      if (prefix === '') return { upstream, path: name };
      if (name.startsWith(`${prefix}/`)) return { upstream, path: name.slice(prefix.length + 1) };
    }
    return undefined;
  }

  #needed(name: string): Source {
    const source = this.#sourceOf(name);
    if (source === undefined) throw new RegistryError('NAME_UNKNOWN', 'repository name not known to registry');
    return source;
  }

  #limited(ms: number): AbortSignal {
    return AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ms)]);
  }

  /** Makes the tag right here. True when it could not be looked up and what is here is served. */
  async #lookUp(name: string, tag: string): Promise<boolean> {
    const { registry, freshMs } = this.#options;
    const { upstream, path } = this.#needed(name);
    const repository = registry.catalogue.repository(name);
    const known = repository?.tags.get(tag);
    const isHere = known !== undefined && repository?.manifests.has(known.digest) === true;
    if (isHere && registry.now - known.atMs < freshMs) return false;
    if (isHere && this.#rests(upstream)) return true;
    const signal = this.#limited(isHere ? PATIENCE_WITH_COPY_MS : PATIENCE_MS);
    try {
      const current = isHere ? await upstream.find({ path, signal }, tag) : undefined;
      if (isHere && current === known.digest) {
        registry.catalogue.putTag(name, tag, { digest: current, atMs: registry.now });
      } else {
        await this.#fetchManifest(name, { upstream, path }, { reference: current ?? tag, tag, signal });
      }
      this.#resting.delete(upstream);
      return false;
    } catch (error) {
      if (error instanceof UpstreamFailure && error.kind === 'missing') registry.catalogue.deleteTag(name, tag);
      if (!isAway(error)) throw toRegistryError(error, () => manifestUnknown(tag));
      this.#rest(upstream, error);
      if (!isHere) throw toRegistryError(error, () => manifestUnknown(tag));
      log.warn('a stale tag is served', { repository: name, tag, err: messageOf(error) });
      return true;
    }
  }

  async #haveManifest(name: string, digest: string): Promise<false> {
    const { registry } = this.#options;
    if (registry.catalogue.repository(name)?.manifests.has(digest) === true) return false;
    const source = this.#needed(name);
    await once(this.#lookups, `${name}@${digest}`, async () => {
      const wanted = { reference: digest, tag: undefined, signal: this.#limited(PATIENCE_MS) };
      await translated(this.#fetchManifest(name, source, wanted), () => manifestUnknown(digest));
      return false;
    });
    return false;
  }

  async #fetchManifest(
    name: string,
    { upstream, path }: Source,
    wanted: { readonly reference: string; readonly tag: string | undefined; readonly signal: AbortSignal },
  ): Promise<void> {
    const { registry } = this.#options;
    const { reference, tag, signal } = wanted;
    const { bytes, mediaType } = await upstream.manifest({ path, signal }, reference);
    const digest = digestOf(bytes, isDigest(reference) ? algorithmOf(reference) : 'sha256');
    if (isDigest(reference) && digest !== reference) {
      throw new UpstreamFailure('unreachable', `the upstream sent ${digest} for manifest ${reference}`);
    }
    const manifest = readManifest(bytes, mediaType === '' ? undefined : mediaType);
    await registry.blobs.put(bytes, digest, () =>
      registry.catalogue.putManifest(name, digest, recordOf(manifest, bytes.length, registry.now), tag),
    );
  }

  #download(name: string, digest: string, upstream: Upstream, path: string): Download {
    const key = `${name}@${digest}`;
    const known = this.#downloads.get(key);
    if (known !== undefined) return known;
    const { registry } = this.#options;
    const download = new Download({
      upstream,
      path,
      digest,
      content: registry.options.content,
      bytesMax: registry.options.limits.blobBytesMax,
      signal: this.#stop.signal,
      kept: () => registry.catalogue.link(name, digest, registry.now),
    });
    this.#downloads.set(key, download);
    void download.done.then(() => {
      this.#downloads.delete(key);
      const { failure } = download;
      if (failure !== undefined)
        log.warn('a blob was not cached', { repository: name, digest, err: messageOf(failure) });
    });
    return download;
  }

  /** A manifest of this repository names it, and another repository has brought it. */
  #linkWhatIsHere(name: string, digest: string): void {
    const { catalogue, options } = this.#options.registry;
    const repository = catalogue.repository(name);
    if (repository === undefined || repository.links.has(digest) || !options.content.has(digest)) return;
    for (const { blobs } of repository.manifests.values()) {
      if (blobs.includes(digest)) return catalogue.link(name, digest, options.now());
    }
  }

  #used(name: string, digest: string): void {
    const { registry, keepMs } = this.#options;
    const record = registry.catalogue.repository(name)?.manifests.get(digest);
    if (record === undefined || keepMs <= 0 || registry.now - record.pushedMs < keepMs / USE_PARTS) return;
    registry.catalogue.noteUse(name, digest, registry.now);
  }

  #rests(upstream: Upstream): boolean {
    return (this.#resting.get(upstream) ?? 0) > this.#options.registry.now;
  }

  #rest(upstream: Upstream, error: unknown): void {
    const asked =
      error instanceof UpstreamFailure && error.retryAfterS !== undefined ? error.retryAfterS * 1000 : REST_MS;
    this.#resting.set(upstream, this.#options.registry.now + Math.min(asked, REST_MS_MAX));
  }
}

/** Two that ask for the same at once share one answer. */
async function once<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const known = running.get(key);
  if (known !== undefined) return known;
  const mine = work().finally(() => running.delete(key));
  running.set(key, mine);
  return mine;
}

/** Nobody knows what upstream would say: what is here may be served. */
const isAway = (error: unknown): boolean =>
  error instanceof UpstreamFailure && (error.kind === 'limited' || error.kind === 'unreachable');

async function translated<T>(work: Promise<T>, missing: () => RegistryError): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toRegistryError(error, missing);
  }
}

function toRegistryError(error: unknown, missing: () => RegistryError): unknown {
  if (!(error instanceof UpstreamFailure)) return error;
  const { kind, message, retryAfterS } = error;
  if (kind === 'missing') return missing();
  if (kind === 'refused') return new RegistryError('DENIED', `the upstream refuses: ${message}`, { cause: error });
  if (kind === 'unreachable') {
    return new RegistryError('UNAVAILABLE', `the upstream cannot be reached: ${message}`, { cause: error });
  }
  const headers = retryAfterS === undefined ? {} : { 'retry-after': String(retryAfterS) };
  const text = `the upstream has had too many requests: ${message}`;
  return new RegistryError('TOOMANYREQUESTS', text, { headers, cause: error });
}
