/**
 * Failure classes by meaning. A failure is exactly one kind; the HTTP status and the CLI exit code are derived from the
 * kind elsewhere (`api/server/httpstatus.ts`, `client`), never from the text of a message.
 */

/** What a failure means to whoever asked. */
export type ErrorKind =
  | 'invalid-parameter'
  | 'not-found'
  | 'conflict'
  | 'unauthorized'
  | 'forbidden'
  | 'not-modified'
  | 'not-implemented'
  | 'unavailable'
  | 'data-loss'
  | 'cancelled'
  | 'deadline-exceeded'
  | 'system';

/** A failure with a meaning. `message` is action + quoted value, without a full stop; `cause` is kept for the log. */
export class BerthError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'BerthError';
    this.kind = kind;
  }
}

type Options = { readonly cause?: unknown };

export const invalidParameter = (message: string, o?: Options) => new BerthError('invalid-parameter', message, o);
export const notFound = (message: string, o?: Options) => new BerthError('not-found', message, o);
export const conflict = (message: string, o?: Options) => new BerthError('conflict', message, o);
export const forbidden = (message: string, o?: Options) => new BerthError('forbidden', message, o);
export const notModified = (message: string, o?: Options) => new BerthError('not-modified', message, o);
export const notImplemented = (message: string, o?: Options) => new BerthError('not-implemented', message, o);
export const unavailable = (message: string, o?: Options) => new BerthError('unavailable', message, o);
export const dataLoss = (message: string, o?: Options) => new BerthError('data-loss', message, o);
export const cancelled = (message: string, o?: Options) => new BerthError('cancelled', message, o);
export const deadlineExceeded = (message: string, o?: Options) => new BerthError('deadline-exceeded', message, o);
export const systemError = (message: string, o?: Options) => new BerthError('system', message, o);

/** The kind of any thrown value; what nobody classified is a system failure. */
export function kindOf(error: unknown): ErrorKind {
  return error instanceof BerthError ? error.kind : 'system';
}

/** The text of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
