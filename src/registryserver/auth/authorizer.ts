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

export interface Authorizer {
  /** An empty list asks for any identity at all. Errors: UNAUTHORIZED, DENIED, TOOMANYREQUESTS. */
  authorize(authorization: string | null, accesses: readonly Access[]): void | Promise<void>;
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
