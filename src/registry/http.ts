/**
 * One HTTP exchange with a registry or with what it redirects to. Registries are hostile: redirects are followed here
 * and not by `fetch`, because credentials and the headers of the configuration must never reach another origin, a
 * registry of the network must not lead us into this machine, and nobody leaves TLS.
 *
 * Also what runs in Workers: no state, plain data in, a response out. Headers longer than some 16 kB are an error of
 * the runtime's parser.
 */
import { rootCertificates } from 'node:tls';
import { type BerthError, cancelled, deadlineExceeded, forbidden, unavailable } from '#errdefs/errors.ts';
import type { EndpointTls } from './endpoints.ts';
import { hostnameOf, isLoopback, type ProxySettings, proxyFor } from './settings.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Only for the URL's own origin. */
  readonly authorization?: string | undefined;
  readonly body?: Blob | string | undefined;
  readonly tls: EndpointTls;
  readonly proxies: ProxySettings;
  readonly signal?: AbortSignal | undefined;
  /** Until the head of the answer is there; 0: the body that is sent has a limit of its own. */
  readonly limitMs?: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Headers;
  /** Where it came from at last. */
  readonly url: string;
  readonly body: ReadableStream<Uint8Array> | null;
}

const HEAD_LIMIT_MS = 60_000;
const REDIRECTS_MAX = 10;
const AGENT = 'berth/0.1.0 (linux)';

/** Errors: unavailable (no connection, no HTTP), deadline-exceeded, forbidden (a redirect nobody may follow), cancelled. */
export async function exchange(request: HttpRequest): Promise<HttpResponse> {
  let url = parseUrl(request.url);
  const origin = url;
  for (let hops = 0; ; hops++) {
    const response = await once(request, url, url.origin === origin.origin);
    const { status } = response;
    const location = response.headers.get('location');
    const isRedirect = status === 301 || status === 302 || status === 303 || status === 307 || status === 308;
    // An upload's 202 has a Location too, and what follows it is the caller's to say.
    if (!isRedirect || location === null || (request.method !== 'GET' && request.method !== 'HEAD')) return response;
    await response.body?.cancel();
    if (hops >= REDIRECTS_MAX)
      throw unavailable(`${name(request.method)} "${request.url}": stopped after ${hops} redirects`);
    url = redirected(url, location, request);
  }
}

function redirected(from: URL, location: string, request: HttpRequest): URL {
  const refuse = (why: string): BerthError =>
    forbidden(`${name(request.method)} "${request.url}": refusing a redirect ${why}`);
  if (!URL.canParse(location, from.href)) throw refuse('to what is no URL');
  const to = new URL(location, from.href);
  const shown = `"${to.protocol}//${to.host}"`;
  if (to.protocol !== 'https:' && to.protocol !== 'http:')
    throw refuse(`to ${shown}: only http and https are followed`);
  if (from.protocol === 'https:' && to.protocol === 'http:' && request.tls.verify) {
    throw refuse(`from https to ${shown}`);
  }
  if (!mayLeadTo(from, to)) throw refuse(`to ${shown}, an address of this machine or of its link`);
  to.username = '';
  to.password = '';
  return to;
}

/** A registry out there must not make us ask services that only this host can reach. */
export function mayLeadTo(from: URL, to: URL): boolean {
  if (isLoopback(from.host)) return true;
  return !isLoopback(to.host) && !isLinkLocal(hostnameOf(to.host));
}

/** 169.254.0.0/16 has the metadata services of clouds. */
function isLinkLocal(address: string): boolean {
  return (
    address.startsWith('169.254.') ||
    /^fe[89ab][0-9a-f]:/i.test(address) ||
    /^0(?:\.0){0,3}$/.test(address) ||
    address === '::'
  );
}

async function once(request: HttpRequest, url: URL, isOwn: boolean): Promise<HttpResponse> {
  const headers = new Headers({ 'User-Agent': AGENT, 'Accept-Encoding': 'identity' });
  for (const [key, value] of Object.entries(request.headers ?? {})) {
    // What is accepted and which range is no secret; everything else is between the registry and us.
    if (isOwn || key === 'Accept' || key === 'Range') headers.set(key, value);
  }
  if (isOwn && request.authorization !== undefined) headers.set('Authorization', request.authorization);
  const { tls } = request;
  const proxy = proxyFor(request.proxies, url);
  const limitMs = request.limitMs ?? HEAD_LIMIT_MS;
  const limit = new AbortController();
  const timer = limitMs === 0 ? undefined : setTimeout(() => limit.abort(), limitMs);
  const signal = request.signal === undefined ? limit.signal : AbortSignal.any([request.signal, limit.signal]);
  try {
    // as: Bun's fetch takes more than the standard's types say.
    const init = {
      method: request.method,
      headers,
      redirect: 'manual',
      decompress: false,
      // Stalls are noticed by whoever reads the body.
      timeout: false,
      signal,
      ...(request.body === undefined ? {} : { body: request.body }),
      ...(proxy === undefined ? {} : { proxy }),
      ...(url.protocol === 'https:' ? { tls: tlsOf(tls, isOwn) } : {}),
    } as RequestInit;
    const response = await fetch(url, init);
    return { status: response.status, headers: response.headers, url: url.href, body: response.body };
  } catch (error) {
    if (request.signal?.aborted === true)
      throw cancelled(`${name(request.method)} "${shownUrl(url)}": context canceled`);
    if (limit.signal.aborted) {
      throw deadlineExceeded(`${name(request.method)} "${shownUrl(url)}": no answer within ${limitMs / 1000} s`);
    }
    throw unavailable(`${name(request.method)} "${shownUrl(url)}": ${reasonOf(error, url)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Client certificates are for the registry alone; its authorities are trusted for what it redirects to as well. `ca`
 * replaces the system's authorities, and Docker adds to them.
 */
function tlsOf(tls: EndpointTls, isOwn: boolean): Record<string, unknown> {
  return {
    rejectUnauthorized: tls.verify,
    ...(tls.ca.length === 0 ? {} : { ca: [...tls.ca, ...rootCertificates] }),
    ...(isOwn && tls.cert !== undefined && tls.key !== undefined ? { cert: tls.cert, key: tls.key } : {}),
  };
}

/** Nobody is there, or nobody whom we trust: asking again a moment later helps nobody who waits for the answer. */
export function isHopeless(error: unknown): boolean {
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return /^(?:ECONNREFUSED|ConnectionRefused|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|EPROTO)$|CERT|ISSUER/.test(
    code,
  );
}

/** Go's words where clients and people know them. */
function reasonOf(error: unknown, url: URL): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port;
  const address = `${url.hostname}:${port}`;
  switch (code) {
    case 'ECONNREFUSED':
    case 'ConnectionRefused':
      return `dial tcp ${address}: connect: connection refused`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case 'ECONNRESET':
    case 'ConnectionClosed':
      return 'EOF';
    case 'ETIMEDOUT':
    case 'ENETUNREACH':
    case 'EHOSTUNREACH':
      return `dial tcp ${address}: ${code === 'ETIMEDOUT' ? 'i/o timeout' : 'no route to host'}`;
    case 'Malformed_HTTP_Response':
      return 'malformed HTTP response';
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return 'tls: failed to verify certificate: x509: certificate signed by unknown authority';
    case 'CERT_HAS_EXPIRED':
      return 'tls: failed to verify certificate: x509: certificate has expired or is not yet valid';
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `tls: failed to verify certificate: x509: certificate is not valid for ${url.hostname}`;
    case 'EPROTO':
      return 'http: server gave HTTP response to HTTPS client';
    default:
      return code === '' ? String(error) : code;
  }
}

function parseUrl(text: string): URL {
  if (!URL.canParse(text)) throw unavailable(`"${text.slice(0, 200)}" is no URL`);
  return new URL(text);
}

/** Without what signs it: queries of storage services are credentials. */
function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

/** As Go says it: `Get "https://…"`. */
function name(method: string): string {
  return method.charAt(0) + method.slice(1).toLowerCase();
}
