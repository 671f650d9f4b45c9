/**
 * A client's session: an HTTP/2 connection whose roles are turned around, so that the engine asks and the client
 * answers. Sessions have ids; a build names the one that its files, secrets and credentials come from, and may come
 * before it.
 */
import { invalidParameter, kindOf, notFound, notImplemented } from '#errdefs/errors.ts';
import { Arrivals } from '#pkg/arrivals/arrivals.ts';
import { ask, type Call, call, type Metadata, type Method } from '#pkg/grpc/client.ts';
import { type ByteStream, Http2Connection } from '#pkg/http2/connection.ts';
import type { MessageOf, Table } from '#pkg/protobuf/protobuf.ts';
import { getSecret } from './session-methods.ts';

export interface SessionHead {
  readonly id: string;
  readonly name: string;
  readonly sharedKey: string;
  /** Paths of the methods that the client answers. */
  readonly methods: readonly string[];
}

export class Session {
  readonly head: SessionHead;
  readonly #connection: Http2Connection;
  readonly #methods: ReadonlySet<string>;

  constructor(head: SessionHead, connection: Http2Connection) {
    this.head = head;
    this.#connection = connection;
    this.#methods = new Set(head.methods.map((path) => path.toLowerCase()));
  }

  get closed(): AbortSignal {
    return this.#connection.closed;
  }

  supports(method: Method<Table, Table>): boolean {
    return this.#methods.has(method.path.toLowerCase());
  }

  /** Errors: not-implemented, unavailable, what the client says. */
  async ask<Q extends Table, A extends Table>(
    method: Method<Q, A>,
    request: Partial<MessageOf<Q>>,
    signal: AbortSignal,
  ): Promise<MessageOf<A>> {
    this.#require(method);
    return ask(this.#connection, method, request, signal);
  }

  async call<Q extends Table, A extends Table>(
    method: Method<Q, A>,
    options: { readonly metadata?: Metadata; readonly signal: AbortSignal },
  ): Promise<Call<Q, A>> {
    this.#require(method);
    return call(this.#connection, method, options);
  }

  /** A secret of the client; undefined when it has none of that name. */
  async secret(id: string, signal: AbortSignal): Promise<Uint8Array | undefined> {
    if (!this.supports(getSecret)) return undefined;
    try {
      return (await this.ask(getSecret, { id }, signal)).data;
    } catch (error) {
      if (kindOf(error) === 'not-found') return undefined;
      throw error;
    }
  }

  #require(method: Method<Table, Table>): void {
    if (!this.supports(method)) throw notImplemented(`method ${method.path} not supported by the client`);
  }
}

/** How long a build waits for the session that it names. */
const WAIT_MS = 5_000;
const SESSIONS_MAX = 1_000;

export class Sessions {
  readonly #sessions = new Arrivals<Session>();

  /**
   * Takes the id; what is returned serves the session until the client ends it or the signal does. Errors:
   * invalid-parameter for ids that are missing or in use.
   */
  open(head: SessionHead): (bytes: ByteStream, signal: AbortSignal) => Promise<void> {
    if (head.id === '') throw invalidParameter('the session has no id (X-Docker-Expose-Session-Uuid)');
    if (this.#sessions.has(head.id)) throw invalidParameter(`session ${head.id} already exists`);
    if (this.#sessions.size >= SESSIONS_MAX) throw invalidParameter(`more than ${SESSIONS_MAX} sessions`);
    return async (bytes, signal) => {
      const connection = new Http2Connection(bytes);
      const session = new Session(head, connection);
      const close = () => connection.close();
      signal.addEventListener('abort', close);
      const running = connection.run();
      this.#sessions.put(head.id, session);
      if (signal.aborted) close();
      try {
        await running;
      } finally {
        signal.removeEventListener('abort', close);
        this.#sessions.delete(head.id, session);
      }
    };
  }

  /** Errors: not-found when it does not come within five seconds; cancelled. */
  get(id: string, signal: AbortSignal): Promise<Session> {
    const missing = notFound(`no active session for ${id}: context deadline exceeded`);
    return this.#sessions.get(id, { signal, waitMs: WAIT_MS, missing });
  }
}
