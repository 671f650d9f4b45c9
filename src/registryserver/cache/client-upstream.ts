/** The registry that a cache stands before, by the project's own client. It asks once: the cache decides what follows. */
import * as fs from 'node:fs';
import { invalidParameter, kindOf, messageOf } from '#errdefs/errors.ts';
import { discard, pieces } from '#registry/body.ts';
import { anonymous, type Credentials, credentialsOf } from '#registry/credentials.ts';
import { RegistryError } from '#registry/failures.ts';
import { fetchManifest, findManifest, listTags } from '#registry/manifests.ts';
import { listReferrers } from '#registry/referrers.ts';
import { type Answer, RegistryClient, type Repository } from '#registry/registry-client.ts';
import {
  defaultRegistrySettings,
  ignoreEnvironmentProxies,
  type ProxySettings,
  type RegistrySettings,
} from '#registry/settings.ts';
import { isObject } from '../manifest.ts';
import {
  type Upstream,
  type UpstreamAsk,
  type UpstreamBlob,
  UpstreamFailure,
  type UpstreamFailureKind,
  type UpstreamManifest,
} from './upstream.ts';

const HUB = /^(?:registry-1\.|index\.)?docker\.io$/;
/** Whose tokens are remembered. */
const REPOSITORIES_MAX = 256;
const HUB_KEY = 'https://index.docker.io/v1/';

export class ClientUpstream implements Upstream {
  readonly #client: RegistryClient;
  readonly #domain: string;
  readonly #prefix: string;
  readonly #credentials: Credentials;
  readonly #repositories = new Map<string, Promise<Repository>>();

  constructor(url: string, credentials: Credentials, proxies: ProxySettings) {
    const { host, pathname, protocol } = new URL(url);
    const settings: RegistrySettings = {
      ...defaultRegistrySettings,
      insecureRegistries: protocol === 'http:' ? [host] : [],
      proxies,
      attemptsMax: 1,
    };
    this.#client = new RegistryClient(() => settings);
    this.#domain = host;
    this.#prefix = pathname.replace(/^\/+|\/+$/g, '').replace(/.$/, '$&/');
    this.#credentials = credentials;
  }

  find(ask: UpstreamAsk, tag: string): Promise<string | undefined> {
    return told(ask.signal, async () => (await findManifest(await this.#repository(ask), tag))?.digest);
  }

  manifest(ask: UpstreamAsk, tagOrDigest: string): Promise<UpstreamManifest> {
    return told(ask.signal, async () => fetchManifest(await this.#repository(ask), tagOrDigest));
  }

  blobSize(ask: UpstreamAsk, digest: string): Promise<number> {
    return told(ask.signal, async () => {
      const { response, what } = await this.#blob(ask, 'HEAD', digest, 0);
      await discard(response.body);
      const size = lengthOf(response.headers.get('content-length'));
      if (size === undefined) throw new UpstreamFailure('unreachable', `${what}: it does not say how long the blob is`);
      return size;
    });
  }

  blob(ask: UpstreamAsk, digest: string, offset: number): Promise<UpstreamBlob> {
    return told(ask.signal, async () => {
      const { response, what } = await this.#blob(ask, 'GET', digest, offset);
      // Nobody waits for it any more.
      if (ask.signal.aborted) await discard(response.body);
      const body = pieces(response.body, { what, signal: ask.signal });
      if (response.status !== 206) {
        return { offset: 0, size: lengthOf(response.headers.get('content-length')), body };
      }
      const range = /^bytes ([0-9]{1,15})-[0-9]+\/([0-9]{1,15}|\*)$/.exec(response.headers.get('content-range') ?? '');
      if (range === null || Number(range[1]) !== offset) {
        await discard(response.body);
        throw new UpstreamFailure('unreachable', `${what}: it answers another range than asked for`);
      }
      return { offset, size: range[2] === '*' ? undefined : Number(range[2]), body };
    });
  }

  tags(ask: UpstreamAsk): Promise<readonly string[]> {
    return told(ask.signal, async () => listTags(await this.#repository(ask)));
  }

  referrers(ask: UpstreamAsk, digest: string): Promise<readonly unknown[] | undefined> {
    return told(ask.signal, async () => listReferrers(await this.#repository(ask), digest));
  }

  /** Kept, because tokens are: a pull of ten layers asks the token service once. */
  #repository({ path }: UpstreamAsk): Promise<Repository> {
    const known = this.#repositories.get(path);
    if (known !== undefined) return known;
    const made = this.#client.repository(this.#domain, this.#prefix + path, { credentials: this.#credentials });
    const [oldest] = this.#repositories.keys();
    if (this.#repositories.size >= REPOSITORIES_MAX && oldest !== undefined) this.#repositories.delete(oldest);
    this.#repositories.set(path, made);
    made.catch(() => this.#repositories.delete(path));
    return made;
  }

  async #blob(ask: UpstreamAsk, method: 'GET' | 'HEAD', digest: string, offset: number): Promise<Answer> {
    const repository = await this.#repository(ask);
    return repository.ask({
      method,
      url: repository.at(`/blobs/${digest}`),
      headers: offset > 0 ? { Range: `bytes=${offset}-` } : {},
      capability: 'pull',
      accept: offset > 0 ? [200, 206] : [200],
    });
  }
}

const lengthOf = (header: string | null): number | undefined =>
  header !== null && /^[0-9]{1,15}$/.test(header) ? Number(header) : undefined;

/** What the signal ends is left to the client's own limits. */
async function told<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(new UpstreamFailure('unreachable', 'the upstream did not answer in time'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    const running = work();
    running.catch(() => undefined);
    return await Promise.race([running, ended]);
  } catch (error) {
    if (error instanceof UpstreamFailure) throw error;
    throw new UpstreamFailure(failureKind(error), messageOf(error), { cause: error });
  } finally {
    signal.removeEventListener('abort', abort);
    ended.catch(() => undefined);
  }
}

function failureKind(error: unknown): UpstreamFailureKind {
  const kind = kindOf(error);
  if (error instanceof RegistryError && error.status === 429) return 'limited';
  if (kind === 'not-found') return 'missing';
  return kind === 'unauthorized' || kind === 'forbidden' ? 'refused' : 'unreachable';
}

/** Of this process; from now on the runtime does not look at them by itself, which knows of no exceptions. */
export function takeEnvironmentProxies(): ProxySettings {
  const proxies = proxiesOf(process.env);
  ignoreEnvironmentProxies();
  return proxies;
}

function proxiesOf(environment: Readonly<Record<string, string | undefined>>): ProxySettings {
  const first = (name: string): string => environment[name] ?? environment[name.toLowerCase()] ?? '';
  return { http: first('HTTP_PROXY'), https: first('HTTPS_PROXY'), none: first('NO_PROXY').split(',') };
}

/** Of a file like docker's config.json. Errors: invalid-parameter naming the file. */
export function credentialsFor(url: string, file: string | undefined): Credentials {
  if (file === undefined) return anonymous;
  try {
    const document: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    const auths = isObject(document) ? document['auths'] : undefined;
    if (!isObject(auths)) throw new Error('it has no "auths"');
    const { host } = new URL(url);
    const keys = [host, `https://${host}`, `http://${host}`, url, ...(HUB.test(host) ? [HUB_KEY, 'docker.io'] : [])];
    const key = keys.find((one) => Object.hasOwn(auths, one));
    return key === undefined ? anonymous : credentialsOf(auths[key]);
  } catch (cause) {
    throw invalidParameter(`Cannot read the credentials "${file}": ${messageOf(cause)}`, { cause });
  }
}
