/**
 * What to put into Authorization for one registry: nothing until it asks, then Basic, or a token from the service that
 * its challenge names, kept until shortly before it expires. One for an endpoint and credentials; requests for the same
 * scope share one question to the token service.
 */
import { type BerthError, dataLoss, forbidden, kindOf, unavailable } from '#errdefs/errors.ts';
import { discard, readAll } from './body.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { basicAuthorization, type Credentials, isAnonymous } from './credentials.ts';
import type { Endpoint } from './endpoints.ts';
import { unauthorized, unauthorizedIn } from './failures.ts';
import { exchange, mayLeadTo } from './http.ts';
import type { ProxySettings } from './settings.ts';

/** `repository:library/busybox:pull`. */
export type Scope = string;

export const pullScope = (repository: string): Scope => `repository:${repository}:pull`;
export const pushScope = (repository: string): Scope => `repository:${repository}:pull,push`;

const TOKEN_BYTES_MAX = 1 << 20;
const TOKEN_LENGTH_MAX = 64 << 10;
const LIFETIME_MS = 60_000;
const LIFETIME_MS_MAX = 24 * 3600 * 1000;
/** Tokens are given up early: a request takes its time, and clocks differ. */
const EARLY = 0.9;
const CLIENT_ID = 'berth';

interface Token {
  readonly value: string;
  readonly expiresMs: number;
}

export interface AuthorizerOptions {
  readonly endpoint: Endpoint;
  readonly credentials: Credentials;
  readonly proxies: ProxySettings;
  readonly now?: () => number;
}

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #now: () => number;
  #basic: string | undefined;
  readonly #tokens = new Map<string, Token>();
  readonly #asking = new Map<string, Promise<Token>>();
  /** A log-in wants the refresh token that came with a token. */
  refreshToken: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { registryToken } = options.credentials;
    if (registryToken !== '') this.#basic = `Bearer ${registryToken}`;
  }

  /** What is known to be wanted; undefined when nothing was asked for yet. */
  current(scopes: readonly Scope[]): string | undefined {
    if (this.#basic !== undefined) return this.#basic;
    const token = this.#tokens.get(keyOf(scopes));
    return token === undefined || token.expiresMs <= this.#now() ? undefined : `Bearer ${token.value}`;
  }

  /**
   * Answers a 401. `used`: what the refused request had; the same again would be refused again. Errors: unauthorized
   * (no credentials, or refused), data-loss, unavailable, forbidden.
   */
  async answer(
    header: string | null,
    scopes: readonly Scope[],
    used: string | undefined,
    signal: AbortSignal | undefined,
    offline = false,
  ): Promise<string> {
    const { credentials } = this.#options;
    const challenges = parseChallenges(header ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (credentials.registryToken !== '') throw unauthorized();
    if (bearer !== undefined) {
      const wanted = scopesOf(bearer, scopes);
      const key = keyOf(scopes);
      // Somebody else may have got a newer one meanwhile.
      const known = this.current(scopes);
      if (known !== undefined && known !== used) return known;
      this.#tokens.delete(key);
      let asking = this.#asking.get(key);
      if (asking === undefined) {
        asking = this.#ask(bearer, wanted, signal, offline).finally(() => this.#asking.delete(key));
        this.#asking.set(key, asking);
      }
      let token: Token;
      try {
        token = await asking;
      } catch (error) {
        // Whoever asked has gone; ours is another request.
        if (kindOf(error) !== 'cancelled' || signal?.aborted === true) throw error;
        token = await this.#ask(bearer, wanted, signal, offline);
      }
      this.#tokens.set(key, token);
      return `Bearer ${token.value}`;
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) {
      if (credentials.username === '' && credentials.password === '') throw unauthorizedIn('no basic auth credentials');
      const basic = basicAuthorization(credentials);
      if (used === basic) throw unauthorized();
      this.#basic = basic;
      return basic;
    }
    throw unauthorized();
  }

  async #ask(
    challenge: Challenge,
    scopes: readonly Scope[],
    signal: AbortSignal | undefined,
    offline: boolean,
  ): Promise<Token> {
    const { endpoint, credentials, proxies } = this.#options;
    const realm = realmOf(challenge, endpoint);
    const service = challenge.parameters.get('service') ?? '';
    const request = {
      tls: realm.origin === new URL(endpoint.base).origin ? endpoint.tls : strangers(endpoint),
      proxies,
      signal,
    };
    const form = new URLSearchParams();
    if (service !== '') form.set('service', service);
    let response: Awaited<ReturnType<typeof exchange>>;
    if (credentials.identityToken !== '') {
      form.set('grant_type', 'refresh_token');
      form.set('refresh_token', credentials.identityToken);
      form.set('client_id', CLIENT_ID);
      form.set('scope', scopes.join(' '));
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
      response = await exchange({ ...request, method: 'POST', url: realm.href, headers, body: form.toString() });
    } else {
      const url = new URL(realm);
      for (const [key, value] of form) url.searchParams.set(key, value);
      for (const scope of scopes) url.searchParams.append('scope', scope);
      if (offline) {
        url.searchParams.set('offline_token', 'true');
        url.searchParams.set('client_id', CLIENT_ID);
      }
      const withName = !isAnonymous(credentials);
      if (withName) url.searchParams.set('account', credentials.username);
      const authorization = withName ? basicAuthorization(credentials) : undefined;
      response = await exchange({ ...request, method: 'GET', url: url.href, authorization });
    }
    const what = `Get "${realm.origin}${realm.pathname}"`;
    if (response.status === 401 || response.status === 403) {
      await discard(response.body);
      throw isAnonymous(credentials) ? unauthorized() : unauthorizedIn('incorrect username or password');
    }
    if (response.status !== 200) {
      await discard(response.body);
      throw unavailable(`${what}: the token service answered ${response.status}`);
    }
    const token = this.#decode(await readAll(response.body, TOKEN_BYTES_MAX, { what, signal }), what);
    return token;
  }

  #decode(bytes: Buffer, what: string): Token {
    const wrong = (why: string): BerthError => dataLoss(`${what}: the token service's answer ${why}`);
    let answer: unknown;
    try {
      answer = JSON.parse(bytes.toString('utf8'));
    } catch (cause) {
      throw dataLoss(`${what}: the token service's answer is no JSON`, { cause });
    }
    if (typeof answer !== 'object' || answer === null) throw wrong('is no object');
    // as: every object has string keys with unknown values.
    const fields = answer as Readonly<Record<string, unknown>>;
    const value = [fields['token'], fields['access_token']].find((t) => typeof t === 'string' && t !== '');
    // It goes into a header.
    if (typeof value !== 'string' || value.length > TOKEN_LENGTH_MAX || !/^[\x21-\x7e]+$/.test(value)) {
      throw wrong('has no token');
    }
    const refresh = fields['refresh_token'];
    if (typeof refresh === 'string' && refresh !== '') this.refreshToken = refresh;
    const seconds = fields['expires_in'];
    const lifetime = typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : LIFETIME_MS;
    return { value, expiresMs: this.#now() + Math.min(lifetime, LIFETIME_MS_MAX) * EARLY };
  }
}

const keyOf = (scopes: readonly Scope[]): string => [...scopes].sort().join(' ');

/** Ours, or what the challenge names where we know none (the root of the API). */
function scopesOf(challenge: Challenge, scopes: readonly Scope[]): readonly Scope[] {
  if (scopes.length > 0) return scopes;
  const named = challenge.parameters.get('scope');
  return named === undefined ? [] : named.split(' ').filter((scope) => scope !== '');
}

/** Our name and password go there, so it may not be less safe than the registry. */
function realmOf(challenge: Challenge, endpoint: Endpoint): URL {
  const text = challenge.parameters.get('realm') ?? '';
  const base = new URL(endpoint.base);
  if (!URL.canParse(text)) throw dataLoss(`the registry names "${text.slice(0, 200)}" as its token service`);
  const realm = new URL(text);
  const refuse = (why: string): BerthError => forbidden(`refusing the token service "${realm.origin}": ${why}`);
  if (realm.protocol !== 'https:' && realm.protocol !== 'http:') throw refuse('only http and https can be asked');
  if (base.protocol === 'https:' && realm.protocol === 'http:' && endpoint.tls.verify) {
    throw refuse('the registry speaks https');
  }
  if (!mayLeadTo(base, realm)) throw refuse('it is an address of this machine or of its link');
  realm.username = '';
  realm.password = '';
  return realm;
}

/** Of another host: the registry's authorities, but not our certificate for it. */
function strangers(endpoint: Endpoint): Endpoint['tls'] {
  return { ...endpoint.tls, cert: undefined, key: undefined };
}
