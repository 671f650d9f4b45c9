/**
 * Failures as the OCI distribution specification spells them: a code that clients match on, and its status. What is no
 * RegistryError is a fault of ours: it is logged with its cause, and the client is told no more than UNKNOWN.
 */
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

export const STATUS_OF = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  RANGE_INVALID: 416,
  SIZE_INVALID: 413,
  TAG_INVALID: 400,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
  UNSUPPORTED: 405,
} as const;

export type RegistryErrorCode = keyof typeof STATUS_OF;

interface Extra {
  readonly detail?: unknown;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: RegistryErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: RegistryErrorCode, message: string, extra: Extra = {}) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.code = code;
    this.status = extra.status ?? STATUS_OF[code];
    this.detail = extra.detail;
    this.headers = extra.headers ?? {};
  }
}

const VERSION_HEADER = 'docker-distribution-api-version';
const VERSION = 'registry/2.0';
/** Of every answer: nothing of a registry is a document that a browser should guess about. */
export const COMMON_HEADERS = { [VERSION_HEADER]: VERSION, 'x-content-type-options': 'nosniff' } as const;

const NO_SPACE = 507;

/** The answer to a failure; a HEAD has no body. */
export function failureResponse(error: unknown, method: string): Response {
  const known = error instanceof RegistryError ? error : explain(error);
  const headers = { ...COMMON_HEADERS, 'content-type': 'application/json', ...known.headers };
  const entry = {
    code: known.code,
    message: known.message,
    ...(known.detail === undefined ? {} : { detail: known.detail }),
  };
  const body = `${JSON.stringify({ errors: [entry] })}\n`;
  return new Response(method === 'HEAD' ? null : body, { status: known.status, headers });
}

function explain(error: unknown): RegistryError {
  if (isNoSpace(error)) {
    log.error('a request failed: the disk is full', { err: error });
    return new RegistryError('UNKNOWN', 'no space left on device', { status: NO_SPACE });
  }
  log.error('a request failed', { err: error, kind: kindOf(error) });
  return new RegistryError('UNKNOWN', 'unknown error');
}

export function isNoSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && (at.code === 'ENOSPC' || at.code === 'EDQUOT' || at.code === 'SQLITE_FULL')) return true;
    if (messageOf(at).includes('no space left on device')) return true;
  }
  return false;
}
