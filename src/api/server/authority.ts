/**
 * Requests that somebody else decides about: an authority is asked before a route is run, with the body that the route
 * will act on, and once more before a whole answer goes out. Streams and hijacked connections are decided about at
 * their request; at their end the authority is only told.
 *
 * Invariants: whatever is read as JSON was shown before (also chunked, also under a query that looks like another
 * path); what cannot be shown is refused; an authority that fails lets nothing pass.
 */
import { log } from '#pkg/log/log.ts';
import type { Answer, Exchange } from './exchange.ts';
import { isJsonType, JSON_BODY_MAX } from './json-body.ts';

export interface AuthorityRequest {
  /** Of a client's certificate; '' without one. */
  readonly user: string;
  readonly method: string;
  /** Undecoded, with its query, as it was sent. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: not shown, because it is no JSON or has a password. */
  readonly body: Uint8Array | undefined;
  /** PEM. */
  readonly certificates: readonly string[];
}

export interface AuthorityAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
}

export interface Authority {
  /** False: everything is allowed, and nobody is asked. */
  readonly active: boolean;
  /** Errors: forbidden in the words for the client; system when it cannot be asked. */
  request(facts: AuthorityRequest): Promise<void>;
  /** As `request`. Without an answer: a stream has ended. */
  response(facts: AuthorityRequest, answer: AuthorityAnswer | undefined): Promise<void>;
}

const SECRET_HEADERS = new Set(['authorization', 'x-registry-config', 'x-registry-auth']);
const FIRST_FAILURE = 400;

interface AuthorizedWork {
  /** Without the API version. */
  readonly path: string;
  readonly handler: () => Promise<void> | void;
  /** What a client gets for an error. */
  readonly refused: (error: unknown) => Answer;
}

/** Runs the handler when the authority lets it. */
export async function authorized(authority: Authority, exchange: Exchange, work: AuthorizedWork): Promise<void> {
  const { path, handler, refused } = work;
  const facts = await factsOf(exchange, path);
  await logged('request', facts, authority.request(facts));
  let asked = false;
  exchange.judgeAnswer(async (answer) => {
    asked = true;
    const verdict = logged('response', facts, authority.response(facts, shown(answer, path)));
    // What failed is told as it is: there is nothing to hold back.
    await (answer.status >= FIRST_FAILURE ? verdict.catch(() => undefined) : verdict);
  }, refused);
  await handler();
  if (!asked) void logged('response', facts, authority.response(facts, undefined)).catch(() => undefined);
}

async function logged(what: string, { method, target }: AuthorityRequest, verdict: Promise<void>): Promise<void> {
  try {
    await verdict;
  } catch (error) {
    log.warn('not authorized', { what, method, target, err: error });
    throw error;
  }
}

async function factsOf(exchange: Exchange, path: string): Promise<AuthorityRequest> {
  const { head, peer } = exchange;
  const certificate = peer.certificate?.();
  return {
    user: certificate?.commonName ?? '',
    certificates: certificate?.chain ?? [],
    method: head.method,
    target: head.target,
    headers: headersOf(head.headers),
    body: showsBody(exchange, path) ? await exchange.peekBody(JSON_BODY_MAX) : undefined,
  };
}

function showsBody({ head }: Exchange, path: string): boolean {
  if (hasPassword(path) || head.framing.kind === 'none') return false;
  // Clients that cannot upgrade send their input in chunks: it comes as long as the connection lasts.
  if (head.framing.kind === 'chunked' && path.endsWith('/attach')) return false;
  return isJsonType(head.headers.get('content-type') ?? '');
}

const hasPassword = (path: string): boolean => path === '/auth';

function shown(answer: Answer, path: string): AuthorityAnswer {
  const type = answer.contentType;
  const bytes = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body;
  return {
    status: answer.status,
    headers: { ...(type === '' ? {} : { 'Content-Type': type }), ...answer.headers },
    body: isJsonType(type) && !hasPassword(path) ? bytes : undefined,
  };
}

/** Names as Go spells them, for plugins that look one up by it. */
function headersOf(headers: ReadonlyMap<string, string>): Record<string, string> {
  const named: Record<string, string> = {};
  for (const [name, value] of headers) {
    if (name === 'host' || SECRET_HEADERS.has(name)) continue;
    named[name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase())] = value;
  }
  return named;
}
