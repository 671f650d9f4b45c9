/**
 * A failure that a daemon answered, as one of our own kinds: callers decide by `kind`, never by the text, which is the
 * daemon's and is shown as it is.
 */
import { BerthError, type ErrorKind } from '#errdefs/errors.ts';

export class ApiError extends BerthError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(kindOfStatus(status), message);
    this.name = 'ApiError';
    this.status = status;
  }
}

/** No answer at all: nobody listens, no permission, or the connection broke. */
export class ConnectionError extends BerthError {
  /** What to do about it; '' where nothing is known. */
  readonly advice: string;

  constructor(message: string, cause?: unknown, advice = '') {
    super('unavailable', message, { cause });
    this.name = 'ConnectionError';
    this.advice = advice;
  }
}

const KINDS: Readonly<Record<number, ErrorKind>> = {
  304: 'not-modified',
  400: 'invalid-parameter',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  405: 'invalid-parameter',
  409: 'conflict',
  501: 'not-implemented',
  503: 'unavailable',
  504: 'deadline-exceeded',
};

function kindOfStatus(status: number): ErrorKind {
  return KINDS[status] ?? (status >= 400 && status < 500 ? 'invalid-parameter' : 'system');
}

/** The message of an error body: `{"message": …}`, else its text. */
export function messageOfBody(status: number, path: string, body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string') {
      return value.message.trim();
    }
  } catch {
    // Not JSON (an old daemon, a proxy): its text is the message.
  }
  const text = body.trim();
  if (text !== '') return text;
  return `request returned ${status} for API route and version ${path}, check if the server supports the requested API version`;
}
