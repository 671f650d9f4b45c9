/**
 * The API server: connections in, routes to jobs, answers out. It knows job tokens and the engine, never the daemon.
 * `accept` is what listeners call for each connection; `stop` ends idle connections and lets the others finish.
 */
import type { ServerFacts } from '#api/jobs/metrics.ts';
import type { Caller, Engine, JobToken } from '#engine/engine.ts';
import { forbidden, kindOf, messageOf, notFound } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { type Authority, authorized } from './authority.ts';
import type { Answer, Exchange } from './exchange.ts';
import { HttpError } from './head.ts';
import { HttpConnection } from './http-connection.ts';
import { statusOfKind } from './httpstatus.ts';
import { readJson, readJsonRequired } from './json-body.ts';
import { Query } from './query.ts';
import type { RouteContext } from './route.ts';
import { type Match, Router } from './router.ts';
import { allRoutes } from './routes/all.ts';
import type { BuilderVersion } from './routes/system.ts';
import { metricsRoutes } from './routes/metrics.ts';
import type { Transport, TransportSink } from './transport.ts';
import { API_VERSION, splitVersion } from './version.ts';

export interface ApiServerOptions {
  readonly engine: Engine;
  /** Of the program: '0.1.0'. */
  readonly version: string;
  /** Serves nothing but the metrics of this server, to any host name: for `metrics-addr`. */
  readonly metricsOf?: ApiServer;
  /** The builder that clients are told to take; default BuildKit's protocol. */
  readonly builder?: BuilderVersion;
  /** Second number of the oldest API version that is served; default 24. */
  readonly minApiMinor?: number;
  /** Asked about each request; default: nobody. */
  readonly authority?: Authority;
  /** Told in each answer; default false. */
  readonly experimental?: boolean;
}

const JSON_TYPE = 'application/json';

export class ApiServer {
  readonly #engine: Engine;
  readonly #router: Router;
  readonly #connections = new Set<HttpConnection>();
  readonly #requests = new Map<string, number>();
  readonly #metricsOnly: boolean;
  readonly #fixedHeaders: string;
  readonly #minApiMinor: number | undefined;
  readonly #authority: Authority | undefined;
  #dateHeader = '';
  #dateSecond = 0;
  #stopping = false;

  constructor(options: ApiServerOptions) {
    this.#engine = options.engine;
    const { engine, metricsOf, builder } = options;
    this.#metricsOnly = metricsOf !== undefined;
    const facts = () => this.facts();
    const routes = metricsOf === undefined ? allRoutes(engine, facts, builder) : metricsRoutes(() => metricsOf.facts());
    this.#router = new Router(routes);
    this.#minApiMinor = options.minApiMinor;
    this.#authority = options.authority;
    this.#fixedHeaders =
      `Api-Version: ${API_VERSION}\r\nDocker-Experimental: ${options.experimental ?? false}\r\nOstype: linux\r\n` +
      `Server: Berth/${options.version} (linux)\r\n`;
  }

  /** For listeners: the sink of a new connection. */
  readonly accept = (transport: Transport): TransportSink => {
    const connection: HttpConnection = new HttpConnection(transport, {
      handle: (exchange) => this.#handle(exchange),
      errorBody: (error) => errorBody(error.message),
      commonHeaders: () => this.#commonHeaders(),
      stopping: () => this.#stopping,
      closed: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    return connection;
  };

  facts(): ServerFacts {
    return { requests: this.#requests, connections: this.#connections.size };
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** No further request is read from any connection. Listeners are stopped by whoever made them. */
  stop(): void {
    this.#stopping = true;
    for (const connection of this.#connections) connection.closeIfIdle();
  }

  /** What is still connected is cut. */
  terminate(): void {
    this.stop();
    for (const connection of this.#connections) connection.terminate();
  }

  #commonHeaders(): string {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#dateHeader = `Date: ${new Date(second * 1000).toUTCString()}\r\n`;
    }
    return this.#fixedHeaders + this.#dateHeader;
  }

  /** Handlers that need no waiting answer within the call: no promise is made for them. */
  #handle(exchange: Exchange): void {
    try {
      const pending = this.#dispatch(exchange);
      if (pending !== undefined) pending.then(() => mustHaveAnswered(exchange)).catch((e) => this.#fail(exchange, e));
      else mustHaveAnswered(exchange);
    } catch (error) {
      this.#fail(exchange, error);
    }
  }

  #dispatch(exchange: Exchange): Promise<void> | void {
    refuseWebPages(exchange, this.#metricsOnly);
    const { minor, path } = splitVersion(exchange.head.path, this.#minApiMinor);
    const match = this.#router.find(exchange.head.method, path);
    if (match === undefined || minor < match.route.minMinor) throw notFound('page not found');
    const { handler, refusal } = match.route;
    const key = `${match.route.method} ${match.route.path}`;
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1);
    if (handler === undefined) throw refusal ?? notFound('page not found');
    const context = new Context(this.#engine, exchange, minor, match);
    if (this.#authority?.active !== true) return handler(context);
    return authorized(this.#authority, exchange, { path, handler: () => handler(context), refused: answerOf });
  }

  #fail(exchange: Exchange, error: unknown): void {
    const { status, contentType, body } = answerOf(error);
    if (status >= 500 && status !== 501 && status !== 503 && !exchange.closed.aborted) {
      log.error('request failed', { method: exchange.head.method, path: exchange.head.path, err: error });
    }
    if (exchange.answered) return;
    if (exchange.started) {
      exchange.abandon();
      return;
    }
    exchange.respond(status, contentType, body);
  }
}

const LOOPBACK_HOST = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?$/i;

/**
 * Plain TCP is served on loopback only, where a web page in this host's browser can send requests too: across origins
 * (such a request has an Origin), or by a name of its own that it made to resolve to loopback (which Host shows).
 */
function refuseWebPages({ peer, head }: Exchange, anyHost: boolean): void {
  if (peer.plainTcp === undefined) return;
  if (head.headers.has('origin')) throw forbidden('requests of web pages are refused');
  const host = head.headers.get('host');
  if (!anyHost && host !== undefined && !LOOPBACK_HOST.test(host)) {
    throw forbidden(`requests to host ${JSON.stringify(host)} are refused: without TLS it must be a loopback address`);
  }
}

function mustHaveAnswered(exchange: Exchange): void {
  if (!exchange.started) throw new Error(`route ${exchange.head.path} did not answer`);
}

class Context implements RouteContext {
  readonly exchange: Exchange;
  readonly minor: number;
  readonly query: Query;
  readonly #engine: Engine;
  readonly #match: Match;

  constructor(engine: Engine, exchange: Exchange, minor: number, match: Match) {
    this.exchange = exchange;
    this.minor = minor;
    this.query = new Query(exchange.head.query);
    this.#engine = engine;
    this.#match = match;
  }

  param(name: string): string {
    return this.#match.param(name);
  }

  json(): Promise<unknown> {
    return readJson(this.exchange);
  }

  jsonRequired(): Promise<unknown> {
    return readJsonRequired(this.exchange);
  }

  run<Input, Output>(token: JobToken<Input, Output>, input: Input): Promise<Output> {
    return this.#engine.run(token, input, { caller: callerOf(this.exchange), signal: this.exchange.closed });
  }

  sendJson(status: number, value: unknown): void {
    this.exchange.respond(status, JSON_TYPE, `${JSON.stringify(value)}\n`);
  }

  sendEmpty(status: number): void {
    this.exchange.respond(status, '', '');
  }
}

function answerOf(error: unknown): Answer {
  const status = error instanceof HttpError ? error.status : statusOfKind[kindOf(error)];
  if (status === 304) return { status, contentType: '', body: '', headers: {} };
  return { status, contentType: JSON_TYPE, body: errorBody(messageOf(error)), headers: {} };
}

function errorBody(message: string): string {
  return `${JSON.stringify({ message })}\n`;
}

function callerOf(exchange: Exchange): Caller {
  const { peer, head } = exchange;
  const userAgent = head.headers.get('user-agent');
  return {
    source: 'api',
    ...(peer.uid === undefined ? {} : { uid: peer.uid }),
    ...(peer.pid === undefined ? {} : { pid: peer.pid }),
    ...(userAgent === undefined ? {} : { userAgent }),
    ...(peer.remote === '' ? {} : { remote: peer.remote }),
  };
}
