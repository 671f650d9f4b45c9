/**
 * The registry on a socket, by the runtime's own server: it sends files by sendfile, holds clients back that upload
 * faster than the disk, and closes connections on which nothing moves.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { ContentStore } from '#content/content-store.ts';
import { messageOf, systemError, unavailable } from '#errdefs/errors.ts';
import { GraphDb } from '#graphdb/graphdb.ts';
import { log } from '#pkg/log/log.ts';
import { type Authorizer, openToAll } from './auth/authorizer.ts';
import type { Cache } from './cache/cache.ts';
import { collect } from './collect.ts';
import type { RegistryConfig } from './config.ts';
import { failureResponse } from './errors.ts';
import { handle } from './handle.ts';
import { Registry } from './registry.ts';

/** Of a connection on which nothing moves, in seconds. */
const IDLE_S = 120;
const DRAIN_MS = 10_000;
/** Larger than any blob; limits of ours are told in the registry's words. */
const BODY_BYTES_MAX = 2 ** 50;

interface Parts {
  readonly server: Bun.Server<undefined>;
  readonly registry: Registry;
  readonly db: GraphDb;
  readonly cache: Cache | undefined;
}

export class RegistryServer implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly registry: Registry;
  readonly #parts: Parts;
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(parts: Parts, isTls: boolean) {
    const { server, registry } = parts;
    this.#parts = parts;
    this.registry = registry;
    this.port = server.port ?? 0;
    const host = server.hostname ?? 'localhost';
    this.url = `${isTls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${this.port}`;
  }

  /** Errors: invalid-parameter for files that are wrong; unavailable when the address or the root is in use. */
  static async start(config: RegistryConfig): Promise<RegistryServer> {
    const authorizer = await authorizerOf(config);
    const tls = tlsOf(config);
    fs.mkdirSync(config.root, { recursive: true, mode: 0o710 });
    // The database first: it is the lock of the root.
    const db = GraphDb.open(path.join(config.root, 'registry.db'));
    try {
      const registry = new Registry({
        content: ContentStore.open(config.root),
        db,
        authorizer,
        readOnly: config.readOnly,
        allowDelete: config.allowDelete,
        page: config.page,
        limits: { blobBytesMax: config.blobBytesMax },
        graceMs: config.graceMs,
        collectUntagged: config.collectUntagged,
        now: Date.now,
      });
      const cache = await cacheOf(config, registry);
      registry.cache = cache;
      const server = listen(config, tls, registry);
      const running = new RegistryServer({ server, registry, db, cache }, tls !== undefined);
      running.#schedule(config.collectEveryMs);
      log.info('the registry listens', {
        url: running.url,
        root: config.root,
        repositories: registry.catalogue.names.size,
      });
      return running;
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** Requests in progress have some seconds; uploads that are cut off can be resumed. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    const { server, cache, db } = this.#parts;
    const ended = server.stop(false);
    await Promise.race([ended, Bun.sleep(DRAIN_MS)]);
    cache?.[Symbol.dispose]();
    await server.stop(true);
    db.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #schedule(everyMs: number): void {
    if (everyMs <= 0) return;
    this.#timer = setTimeout(
      () => {
        collect(this.registry, { dryRun: false })
          .catch((error: unknown) => log.error('garbage was not collected', { err: error }))
          .finally(() => this.#schedule(everyMs));
      },
      Math.min(everyMs, 2 ** 31 - 1),
    );
    this.#timer.unref();
  }
}

function listen(config: RegistryConfig, tls: Tls | undefined, registry: Registry): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: config.hostname,
      port: config.port,
      ...(tls === undefined ? {} : { tls }),
      idleTimeout: IDLE_S,
      maxRequestBodySize: BODY_BYTES_MAX,
      fetch: (request) => handle(registry, request),
      // What fails after an answer was given: a blob's file that went between look-up and open.
      error: (error) => failureResponse(error, 'GET'),
    });
  } catch (cause) {
    const address = `${config.hostname}:${config.port}`;
    throw unavailable(`Cannot listen on "${address}": ${messageOf(cause)}`, { cause });
  }
}

async function cacheOf(config: RegistryConfig, registry: Registry): Promise<Cache | undefined> {
  if (config.proxies.length === 0) return undefined;
  const [{ Cache: Made }, { ClientUpstream, credentialsFor, takeEnvironmentProxies }] = await Promise.all([
    import('./cache/cache.ts'),
    import('./cache/client-upstream.ts'),
  ]);
  const proxies = takeEnvironmentProxies();
  const upstreams = config.proxies.map(({ prefix, url }) => ({
    prefix,
    upstream: new ClientUpstream(url, credentialsFor(url, config.proxyCredentials), proxies),
  }));
  return new Made({ registry, upstreams, freshMs: config.proxyFreshMs, keepMs: config.proxyKeepMs });
}

interface Tls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
  readonly requestCert?: boolean;
  readonly rejectUnauthorized?: boolean;
}

function tlsOf({ tls }: RegistryConfig): Tls | undefined {
  if (tls === undefined) return undefined;
  const read = (file: string): string => {
    try {
      return fs.readFileSync(file, 'utf8');
    } catch (cause) {
      throw systemError(`Cannot read "${file}": ${messageOf(cause)}`, { cause });
    }
  };
  const own = { cert: read(tls.cert), key: read(tls.key) };
  if (tls.clientCa === undefined) return own;
  return { ...own, ca: read(tls.clientCa), requestCert: true, rejectUnauthorized: true };
}

async function authorizerOf(config: RegistryConfig): Promise<Authorizer> {
  const { htpasswd, token, realm, anonymousPull } = config;
  if (htpasswd !== undefined) {
    const { Htpasswd } = await import('./auth/htpasswd.ts');
    return new Htpasswd({ file: htpasswd, realm, anonymousPull, now: Date.now });
  }
  if (token !== undefined) {
    const { TokenAuthorizer } = await import('./auth/token.ts');
    return new TokenAuthorizer({ ...token, anonymousPull, now: Date.now });
  }
  return openToAll;
}
