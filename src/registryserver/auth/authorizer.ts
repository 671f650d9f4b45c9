/**
 * Who may do what. An authorizer answers for one request: it may go on, or it throws UNAUTHORIZED with the challenge
 * that tells the client how to come back, or DENIED when coming back would not help.
 */
import { RegistryError } from '../errors.ts';

export type Action = 'pull' | 'push' | 'delete' | '*';

export interface Access {
  readonly type: 'repository' | 'registry';
  /** Of a repository; `catalog` of the registry. */
  readonly name: string;
  readonly action: Action;
}

/** No repository can have that name. */
export const TOKEN_PATH = '/v2/_berth/token';

export interface Authorizer {
  /** An empty list asks for any identity at all. Errors: UNAUTHORIZED, DENIED, TOOMANYREQUESTS. */
  authorize(request: Request, accesses: readonly Access[]): void | Promise<void>;
  /** Answers `GET /v2/_berth/token`, where it gives tokens itself. Errors: UNAUTHORIZED. */
  token?(request: Request): Promise<Response>;
}

export const openToAll: Authorizer = { authorize: () => undefined };

export function unauthorized(
  challenge: string,
  accesses: readonly Access[],
  message = 'authentication required',
): RegistryError {
  return new RegistryError('UNAUTHORIZED', message, {
    headers: { 'www-authenticate': challenge },
    ...(accesses.length === 0 ? {} : { detail: accesses.map(detailOf) }),
  });
}

const detailOf = ({ type, name, action }: Access) => ({ Type: type, Class: '', Name: name, Action: action });

/** A value inside of double quotes in a header. */
export const quoted = (text: string): string => `"${text.replace(/[\\"]/g, '\\$&').replace(/[^\x20-\x7e]/g, '')}"`;

/** Whether reading is all that is asked for. */
export const onlyPulls = (accesses: readonly Access[]): boolean =>
  accesses.length > 0 && accesses.every(({ type, action }) => type === 'repository' && action === 'pull');

export function bearerChallenge(
  { realm, service }: { readonly realm: string; readonly service: string },
  accesses: readonly Access[],
  error?: string,
): string {
  const parts = [`realm=${quoted(realm)}`, `service=${quoted(service)}`];
  if (accesses.length > 0) parts.push(`scope=${quoted(scopeOf(accesses))}`);
  if (error !== undefined) parts.push(`error=${quoted(error)}`);
  return `Bearer ${parts.join(',')}`;
}

/** `repository:a/b:pull,push`, one for each thing, separated by spaces. */
function scopeOf(accesses: readonly Access[]): string {
  const actions = new Map<string, string[]>();
  for (const { type, name, action } of accesses) {
    const key = `${type}:${name}`;
    actions.set(key, [...(actions.get(key) ?? []), action]);
  }
  return [...actions].map(([key, list]) => `${key}:${[...new Set(list)].join(',')}`).join(' ');
}
