/**
 * A request to a registry with what it asks for: credentials after a 401, patience after a 429. Runs on the main thread
 * and in Workers, which have somebody else's authorizer behind an interface.
 */
import { BerthError, cancelled, kindOf, messageOf } from '#errdefs/errors.ts';
import { discard } from './body.ts';
import type { Endpoint } from './endpoints.ts';
import { exchange, isHopeless, type HttpRequest, type HttpResponse } from './http.ts';
import type { ProxySettings } from './settings.ts';

/** Of one endpoint and one scope. */
export interface Authorization {
  current(): string | undefined;
  /** Errors: unauthorized and others; see Authorizer.answer. */
  answer(header: string | null, used: string | undefined, signal: AbortSignal | undefined): Promise<string>;
}

export interface SendContext {
  readonly endpoint: Endpoint;
  readonly proxies: ProxySettings;
  readonly authorization: Authorization;
  readonly signal?: AbortSignal | undefined;
  /** The registry makes us wait, or a broken connection does. */
  readonly waiting?: ((seconds: number, reason: string) => void) | undefined;
  readonly attemptsMax: number;
}

/** `url` may be a path below the endpoint's base, or absolute (an upload's Location). */
export type SendRequest = Pick<HttpRequest, 'method' | 'url' | 'headers' | 'limitMs'> & {
  /** Made anew for each attempt. */
  readonly body?: (() => NonNullable<HttpRequest['body']>) | undefined;
  /** Instead of the endpoint's base. */
  readonly base?: (own: string) => string;
  /** May be sent again when the connection breaks. */
  readonly again?: boolean;
};

const RETRY_AFTER_MAX_S = 300;
const BACKOFF_MAX_S = 30;
const ROUNDS_OF_401_MAX = 2;

/** Any answer but 401, 429 and 5xx that passes; those too when patience has ended. Errors: as `exchange` and `answer`. */
export async function send(context: SendContext, request: SendRequest): Promise<HttpResponse> {
  const { endpoint, signal, authorization } = context;
  const url = urlOf(endpoint, request);
  const isOwn = URL.canParse(url) && new URL(url).origin === new URL(endpoint.base).origin;
  let refusals = 0;
  for (let attempt = 1; ; ) {
    const used = isOwn ? authorization.current() : undefined;
    let response: HttpResponse;
    try {
      response = await exchange({
        method: request.method,
        url,
        headers: { ...(isOwn ? endpoint.headers : {}), ...request.headers },
        authorization: used,
        body: request.body?.(),
        tls: endpoint.tls,
        proxies: context.proxies,
        signal,
        ...(request.limitMs === undefined ? {} : { limitMs: request.limitMs }),
      });
    } catch (error) {
      const passes =
        request.again === true &&
        !isHopeless(error) &&
        (kindOf(error) === 'unavailable' || kindOf(error) === 'deadline-exceeded');
      if (!passes || attempt >= context.attemptsMax || signal?.aborted === true) throw error;
      await pause(context, backoff(attempt), messageOf(error));
      attempt += 1;
      continue;
    }
    const { status } = response;
    if (status === 401 && isOwn && refusals < ROUNDS_OF_401_MAX) {
      refusals += 1;
      const header = response.headers.get('www-authenticate');
      await discard(response.body);
      try {
        await authorization.answer(header, used, signal);
      } catch (error) {
        if (kindOf(error) !== 'unauthorized' || messageOf(error).startsWith('unauthorized:')) throw error;
        const { method } = request;
        const what = `${method.charAt(0)}${method.slice(1).toLowerCase()} "${url.replace(/\?.*$/, '')}"`;
        throw new BerthError('unauthorized', `${what}: ${messageOf(error)}`, { cause: error });
      }
      continue;
    }
    const passes = status === 429 || (request.again === true && (status === 500 || (status >= 502 && status <= 504)));
    if (!passes || attempt >= context.attemptsMax) return response;
    const seconds = retryAfter(response.headers.get('retry-after')) ?? backoff(attempt);
    // Hours are not waited for: the user hears of it now.
    if (seconds > RETRY_AFTER_MAX_S) return response;
    await discard(response.body);
    await pause(context, seconds, status === 429 ? 'the registry refuses more requests for now' : `status ${status}`);
    attempt += 1;
  }
}

export function urlOf({ base }: Endpoint, request: Pick<SendRequest, 'url' | 'base'>): string {
  if (!request.url.startsWith('/')) return request.url;
  return (request.base?.(base) ?? base) + request.url;
}

/** Seconds or a date; undefined when there is none. */
export function retryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^[0-9]{1,9}$/.test(header.trim())) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

export const backoff = (attempt: number): number => Math.min(BACKOFF_MAX_S, 2 ** (attempt - 1) / 2);

export async function pause(
  context: Pick<SendContext, 'signal' | 'waiting'>,
  seconds: number,
  reason: string,
): Promise<void> {
  context.waiting?.(seconds, reason);
  const { signal } = context;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const stopped = (): BerthError => cancelled('context canceled');
  if (signal?.aborted === true) throw stopped();
  const timer = setTimeout(resolve, seconds * 1000);
  const abort = (): void => reject(stopped());
  signal?.addEventListener('abort', abort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}
