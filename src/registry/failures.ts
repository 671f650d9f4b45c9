/** What registries answer when they refuse, as failures with Docker's words. */
import { BerthError, type ErrorKind } from '#errdefs/errors.ts';
import { readAll } from './body.ts';
import type { HttpResponse } from './http.ts';

export interface RegistryFault {
  readonly code: string;
  readonly message: string;
}

/** A registry's answer that is no success. */
export class RegistryError extends BerthError {
  readonly status: number;
  readonly faults: readonly RegistryFault[];

  constructor(
    kind: ErrorKind,
    message: string,
    answer: { readonly status: number; readonly faults: readonly RegistryFault[] },
  ) {
    super(kind, message);
    this.status = answer.status;
    this.faults = answer.faults;
  }

  has(code: string): boolean {
    return this.faults.some((fault) => fault.code === code);
  }
}

const BODY_BYTES_MAX = 64 << 10;
const FAULTS_MAX = 16;
const TEXT_MAX = 2048;

export const unauthorizedIn = (message: string): BerthError => new BerthError('unauthorized', message);
export const unauthorized = (): BerthError => unauthorizedIn('unauthorized: authentication required');

/** Reads what the registry says of it. `what`: `Head "https://…"`. */
export async function failureOf(response: HttpResponse, what: string, signal?: AbortSignal): Promise<RegistryError> {
  const { status } = response;
  let faults: readonly RegistryFault[] = [];
  try {
    faults = decodeFaults(await readAll(response.body, BODY_BYTES_MAX, { what, signal, stallMs: 10_000 }));
  } catch (error) {
    if (signal?.aborted === true) throw error;
    // An answer that cannot be read says nothing more than its status.
  }
  const told = faults.map(faultText).join('; ');
  const text = status === 429 ? refusedFor(response.headers.get('retry-after')) : statusText(status);
  return new RegistryError(kindOfStatus(status), told === '' ? `${what}: ${text}` : told, {
    status,
    faults,
  });
}

function kindOfStatus(status: number): ErrorKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not-found';
  if (status === 429 || status >= 500) return 'unavailable';
  return 'system';
}

function refusedFor(retryAfter: string | null): string {
  const span =
    retryAfter === null ? 'for now' : `until ${/^[0-9]+$/.test(retryAfter) ? `${retryAfter} s from now` : retryAfter}`;
  return `toomanyrequests: the registry refuses more requests ${span}`;
}

function statusText(status: number): string {
  if (status === 401) return 'unauthorized: authentication required';
  return `unexpected status code ${status}`;
}

/** `{"errors":[{"code":…,"message":…}]}`, or the older `{"details":…}`; of anything else nothing. */
export function decodeFaults(bytes: Buffer): RegistryFault[] {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch {
    return [];
  }
  if (typeof document !== 'object' || document === null) return [];
  const errors: unknown = 'errors' in document ? document.errors : undefined;
  if (!Array.isArray(errors)) {
    const details: unknown = 'details' in document ? document.details : undefined;
    return typeof details === 'string' ? [{ code: 'UNKNOWN', message: printable(details) }] : [];
  }
  return errors.slice(0, FAULTS_MAX).flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return [];
    const code: unknown = 'code' in entry ? entry.code : undefined;
    const message: unknown = 'message' in entry ? entry.message : undefined;
    if (typeof code !== 'string') return [];
    return [{ code: printable(code), message: typeof message === 'string' ? printable(message) : '' }];
  });
}

/** `manifest unknown: manifest unknown`. */
export function faultText({ code, message }: RegistryFault): string {
  const name = code.toLowerCase().replaceAll('_', ' ');
  return message === '' ? name : `${name}: ${message}`;
}

/** It ends on somebody's terminal. */
function printable(text: string): string {
  return text.slice(0, TEXT_MAX).replace(/\p{Cc}/gu, ' ');
}
