/**
 * The client of registries: repositories of them, with mirrors before the registry itself. It remembers which servers
 * speak no TLS although that was allowed, so that not every request begins with a failed handshake.
 */
import { kindOf, messageOf, systemError, unavailable } from '#errdefs/errors.ts';
import { Authorizer, pullScope, pushScope, type Scope } from './authorizer.ts';
import { anonymous, type Credentials } from './credentials.ts';
import { Addresses, type Lookup } from './addresses.ts';
import { type Endpoint, endpointsOf, hostsOf } from './endpoints.ts';
import { failureOf, RegistryError } from './failures.ts';
import type { Capability } from './hosts-toml.ts';
import type { HttpResponse } from './http.ts';
import { type SendContext, type SendRequest, send, urlOf } from './send.ts';
import type { RegistrySettings } from './settings.ts';

const PLAIN_REMEMBERED_MS = 300_000;

export interface RepositoryOptions {
  readonly credentials?: Credentials;
  readonly signal?: AbortSignal | undefined;
  readonly waiting?: SendContext['waiting'];
}

/** One server of a repository, with what it wants to see of us. */
export interface Session {
  readonly endpoint: Endpoint;
  readonly authorizer: Authorizer;
}

export class RegistryClient {
  readonly #settings: () => RegistrySettings;
  readonly #now: () => number;
  /** By origin of the https endpoint. */
  readonly #plain = new Map<string, number>();

  readonly #addresses: Addresses;

  constructor(settings: () => RegistrySettings, now: () => number = Date.now, lookup?: Lookup) {
    this.#settings = settings;
    this.#now = now;
    this.#addresses = new Addresses(now, lookup);
  }

  get settings(): RegistrySettings {
    return this.#settings();
  }

  /** `domain` as in a reference; `path` below it, '' for the registry itself. Errors: invalid-parameter (hosts.toml). */
  async repository(domain: string, path: string, options: RepositoryOptions = {}): Promise<Repository> {
    const settings = this.settings;
    const addresses = new Map<string, readonly string[]>();
    for (const host of hostsOf(settings, domain)) addresses.set(host, await this.#addresses.of(host));
    const sessions = endpointsOf(settings, domain, addresses)
      .filter(({ base }, i, all) => !(all.length > i + 1 && this.#isPlain(base)))
      .map((endpoint) => ({
        endpoint,
        authorizer: new Authorizer({
          endpoint,
          credentials: endpoint.mirror ? anonymous : (options.credentials ?? anonymous),
          proxies: settings.proxies,
          now: this.#now,
        }),
      }));
    return new Repository({
      domain,
      path,
      sessions,
      settings,
      options,
      spokePlain: (base) => this.#plain.set(base, this.#now()),
    });
  }

  #isPlain(base: string): boolean {
    const since = this.#plain.get(base);
    if (since === undefined) return false;
    if (since + PLAIN_REMEMBERED_MS > this.#now()) return true;
    this.#plain.delete(base);
    return false;
  }
}

interface RepositoryParts {
  readonly domain: string;
  readonly path: string;
  readonly sessions: readonly Session[];
  readonly settings: RegistrySettings;
  readonly options: RepositoryOptions;
  readonly spokePlain: (base: string) => void;
}

export interface Answer {
  readonly response: HttpResponse;
  readonly session: Session;
  /** For messages: `Get "https://…"`. */
  readonly what: string;
}

export interface Ask extends SendRequest {
  readonly capability: Capability;
  /** Instead of the capability's scope on this repository. */
  readonly scopes?: readonly Scope[];
  /** Statuses that are answers; others let the next server be tried, or fail. */
  readonly accept: readonly number[];
  readonly only?: Session | undefined;
  /** A log-in: a token that lasts is asked for, too. */
  readonly offline?: boolean;
}

export class Repository {
  readonly domain: string;
  readonly path: string;
  readonly settings: RegistrySettings;
  readonly #parts: RepositoryParts;

  constructor(parts: RepositoryParts) {
    this.#parts = parts;
    this.domain = parts.domain;
    this.path = parts.path;
    this.settings = parts.settings;
  }

  /** As people know it: `127.0.0.1:5000/app`. */
  get name(): string {
    return `${this.domain}/${this.path}`;
  }

  get signal(): AbortSignal | undefined {
    return this.#parts.options.signal;
  }

  /**
   * The servers in the order in which they are asked. `first` has answered: a mirror goes before the others, the
   * registry itself stands alone (with and without TLS it is the same one, and only one of them speaks).
   */
  sessions(capability: Capability, first?: Session): readonly Session[] {
    const able = this.#parts.sessions.filter(({ endpoint }) => endpoint.capabilities.includes(capability));
    if (first === undefined) return able;
    return first.endpoint.mirror ? [first, ...able.filter((session) => session !== first)] : [first];
  }

  /** The path of an API of this repository. */
  at(rest: string): string {
    return `/${this.path}${rest}`;
  }

  /**
   * Asks one server after the other. A mirror that has it not, refuses or fails is passed over; the registry itself only
   * when there is no connection and the next speaks without TLS. Errors: of the last that was asked.
   */
  async ask(ask: Ask): Promise<Answer> {
    const sessions = ask.only === undefined ? this.sessions(ask.capability) : [ask.only];
    let failure: Error = unavailable(`no server of "${this.domain}" can be used to ${ask.capability}`);
    for (const [i, session] of sessions.entries()) {
      const isLast = i === sessions.length - 1;
      try {
        return await this.#askOne(session, ask);
      } catch (error) {
        if (this.signal?.aborted === true) throw error;
        failure = error instanceof Error ? error : systemError(messageOf(error));
        const { base, mirror } = session.endpoint;
        const noConnection = kindOf(error) === 'unavailable' && !(error instanceof RegistryError);
        if (!mirror && !isLast) {
          if (!noConnection) throw error;
          if (base.startsWith('https:')) await this.#noteWhoAnswers(base, sessions[i + 1]);
        }
      }
    }
    throw failure;
  }

  /** The context of a request to one server, for those that send themselves. */
  context(session: Session, scopes: readonly Scope[], offline = false): SendContext {
    const { options, settings } = this.#parts;
    return {
      endpoint: session.endpoint,
      proxies: settings.proxies,
      authorization: {
        current: () => session.authorizer.current(scopes),
        answer: (header, used, signal) => session.authorizer.answer(header, scopes, used, signal, offline),
      },
      signal: options.signal,
      waiting: options.waiting,
      attemptsMax: settings.attemptsMax,
    };
  }

  scopes(capability: Capability): readonly Scope[] {
    if (this.path === '') return [];
    return [capability === 'push' ? pushScope(this.path) : pullScope(this.path)];
  }

  async #askOne(session: Session, ask: Ask): Promise<Answer> {
    const context = this.context(session, ask.scopes ?? this.scopes(ask.capability), ask.offline);
    // A server that may be passed over is asked once.
    const patient = !session.endpoint.mirror && this.sessions(ask.capability).at(-1) === session;
    const response = await send(patient ? context : { ...context, attemptsMax: 1 }, ask);
    const url = urlOf(session.endpoint, ask);
    const what = `${ask.method.charAt(0)}${ask.method.slice(1).toLowerCase()} "${url.replace(/\?.*$/, '')}"`;
    if (ask.accept.includes(response.status)) return { response, session, what };
    throw await failureOf(response, what, this.signal);
  }

  /** Only a server that answers without TLS is remembered as one: the first may have been down for a moment. */
  async #noteWhoAnswers(base: string, next: Session | undefined): Promise<void> {
    if (next === undefined || base.replace(/^https:/, 'http:') !== next.endpoint.base) return;
    try {
      const response = await send(
        { ...this.context(next, []), attemptsMax: 1, authorization: nobody },
        { method: 'GET', url: '/' },
      );
      await response.body?.cancel();
      this.#parts.spokePlain(base);
    } catch {
      // It is asked next anyway, and its failure told then.
    }
  }
}

/** Only who is there is asked, not what it wants. */
const nobody: SendContext['authorization'] = {
  current: () => undefined,
  answer: () => Promise.reject(unavailable('nobody asks for credentials here')),
};
