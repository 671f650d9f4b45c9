/**
 * One daemon, spoken to by the Docker Engine API: ours or any other. Negotiates the version once, and only with a daemon
 * that refuses our newest, which saves the others a request; turns refusals into typed errors, and knows nothing of any
 * endpoint; those are in the files beside it.
 */
import { ApiError, messageOfBody } from './api-error.ts';
import type { HostAddress, ReachableAddress } from './address.ts';
import { connectionFailure } from './connection-failure.ts';
import { HijackedConnection } from './hijack.ts';
import { type Answer, Wire } from './wire.ts';

/** The newest version whose answers this client knows. */
export const API_VERSION_MAX = '1.51';
/** What a daemon that does not say speaks (docker's own assumption). */
const API_VERSION_UNSTATED = '1.24';

export type QueryValue = string | number | boolean | readonly string[] | undefined;
export type Query = Readonly<Record<string, QueryValue>>;

export interface RequestOptions {
  readonly query?: Query;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is, streamed; excludes `json`. */
  readonly body?: ReadableStream<Uint8Array> | Blob | Uint8Array;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal;
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';

export class ApiClient {
  readonly address: HostAddress;
  readonly #headers: Readonly<Record<string, string>>;
  #version: Promise<string> | undefined;
  #wire: Wire | undefined;

  /** `version`: no negotiation, exactly this one (DOCKER_API_VERSION); `headers`: sent with every request. */
  constructor(options: {
    address: HostAddress;
    userAgent: string;
    version?: string;
    headers?: Readonly<Record<string, string>>;
  }) {
    this.address = options.address;
    this.#headers = { ...options.headers, 'User-Agent': options.userAgent };
    if (options.version !== undefined && options.version !== '') {
      this.#version = Promise.resolve(options.version.replace(/^v/, ''));
    }
  }

  /** The version spoken: the lower of the daemon's newest and ours. */
  version(): Promise<string> {
    this.#version ??= this.#negotiate();
    return this.#version;
  }

  /** Any answer below 400; others are thrown as ApiError. The body is unread. */
  request(method: Method, path: string, options: RequestOptions = {}): Promise<Response> {
    return this.#accepted(path, options, (target) => this.#fetch(method, target, options));
  }

  /** As `request`, for answers that are read whole: without the runtime's HTTP thread where that is possible. */
  async answer(method: Method, path: string, options: RequestOptions = {}): Promise<Answer> {
    const address = await reachable(this.address);
    if (address.kind !== 'unix' || options.body !== undefined || options.signal !== undefined) {
      return this.request(method, path, options);
    }
    const wire = (this.#wire ??= new Wire(address));
    const headers: Record<string, string> = { ...this.#headers, ...options.headers };
    if (options.json !== undefined) headers['Content-Type'] = 'application/json';
    // A POST without a body says so: proxies ask for its length.
    const empty = method === 'POST' || method === 'PUT' ? '' : undefined;
    const body = options.json === undefined ? empty : JSON.stringify(options.json);
    return this.#accepted(path, options, (target) => wire.exchange({ method, target, headers, body }));
  }

  async #accepted<A extends Answer>(
    path: string,
    options: RequestOptions,
    send: (target: string) => Promise<A>,
  ): Promise<A> {
    const guessed = this.#version === undefined && !(options.body instanceof ReadableStream);
    const version = guessed ? API_VERSION_MAX : await this.version();
    const target = `/v${version}${path}${encodeQuery(options.query)}`;
    const response = await send(target);
    // An older daemon refuses our newest version before it looks at anything else.
    if (guessed && response.status === 400 && (await this.version()) !== API_VERSION_MAX) {
      return this.#accepted(path, options, send);
    }
    if (response.status >= 400 || response.status === 304) {
      throw new ApiError(response.status, messageOfBody(response.status, target, await response.text()));
    }
    if (guessed) this.#version ??= Promise.resolve(API_VERSION_MAX);
    return response;
  }

  /** The decoded body. */
  async json<T>(method: Method, path: string, options: RequestOptions = {}): Promise<T> {
    const answer = await this.answer(method, path, options);
    // as: the wire type that the API documents for this path; readers treat absent fields as absent.
    return JSON.parse(await answer.text()) as T;
  }

  /** A request without an answer body of interest. */
  async call(method: Method, path: string, options: RequestOptions = {}): Promise<void> {
    await (await this.answer(method, path, options)).text();
  }

  /** A POST whose connection becomes a raw stream. */
  async hijack(path: string, options: { query?: Query; json?: unknown }): Promise<HijackedConnection> {
    return HijackedConnection.open(await reachable(this.address), {
      path: `/v${await this.version()}${path}${encodeQuery(options.query)}`,
      headers: { ...this.#headers, 'Content-Type': 'application/json' },
      body: options.json === undefined ? '' : JSON.stringify(options.json),
    });
  }

  /** GET /_ping: headers of the daemon (Api-Version, Ostype, Builder-Version …). */
  async ping(): Promise<Headers> {
    const response = await this.#fetch('HEAD', '/_ping', {});
    return response.headers;
  }

  async #negotiate(): Promise<string> {
    const theirs = (await this.ping()).get('api-version') ?? API_VERSION_UNSTATED;
    return compareVersions(theirs, API_VERSION_MAX) < 0 ? theirs : API_VERSION_MAX;
  }

  async #fetch(method: Method, target: string, options: RequestOptions): Promise<Response> {
    const address = await reachable(this.address);
    const headers: Record<string, string> = { ...this.#headers, ...options.headers };
    if (options.json !== undefined) headers['Content-Type'] = 'application/json';
    else if (options.body !== undefined) headers['Content-Type'] = options.contentType ?? 'application/x-tar';
    const body = options.json === undefined ? options.body : JSON.stringify(options.json);
    // A wait or a follow may be silent for days: no idle limit.
    const init: BunFetchRequestInit = { method, headers, timeout: false, decompress: false };
    if (body !== undefined) init.body = body;
    if (options.signal !== undefined) init.signal = options.signal;
    try {
      if (address.kind === 'unix') return await fetch(`http://docker${target}`, { ...init, unix: address.path });
      const origin = `${address.tls === undefined ? 'http' : 'https'}://${address.hostname}:${address.port}`;
      if (address.tls === undefined) return await fetch(origin + target, init);
      const { ca, cert, key, verify } = address.tls;
      const tls = {
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        rejectUnauthorized: verify,
      };
      return await fetch(origin + target, { ...init, tls });
    } catch (error) {
      if (options.signal?.aborted === true) throw error;
      throw connectionFailure(address, error);
    }
  }
}

/** What the runtime can connect to: ssh is loaded only for those who use it. */
export async function reachable(address: HostAddress): Promise<ReachableAddress> {
  return address.kind === 'ssh' ? (await import('./ssh-tunnel.ts')).tunnelTo(address) : address;
}

/** Undefined, false and empty values are left out, as the stock client does; lists are repeated. */
export function encodeQuery(query: Query | undefined): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === false || value === '') continue;
    if (typeof value === 'object') for (const one of value) search.append(name, one);
    else search.append(name, value === true ? '1' : String(value));
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

/** Filters as the API takes them; undefined when there are none. */
export function encodeFilters(filters: ReadonlyMap<string, readonly string[]>): string | undefined {
  if (filters.size === 0) return undefined;
  const object = [...filters].map(([key, values]) => [key, Object.fromEntries(values.map((v) => [v, true]))]);
  return JSON.stringify(Object.fromEntries(object));
}

/** Negative, 0 or positive, by dotted numbers. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
