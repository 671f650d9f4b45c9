/** Blobs of a repository: whether they are there, their bytes from any offset. Used in Workers too. */
import { dataLoss, unavailable } from '#errdefs/errors.ts';
import { discard, readAll } from './body.ts';
import { failureOf } from './failures.ts';
import type { HttpResponse } from './http.ts';
import type { Repository, Session } from './registry-client.ts';
import { type SendContext, send } from './send.ts';

export interface OpenBlob {
  readonly body: HttpResponse['body'];
  /** Where the body begins: 0 when the server knows no ranges. */
  readonly offset: number;
  /** The body is the range that was asked for, no more. */
  readonly partial: boolean;
  readonly what: string;
}

/**
 * Begins to read a blob, from `offset` up to `end` (not included) where that is given. Errors: not-found, unauthorized,
 * unavailable, data-loss when the server has another size.
 */
export async function openBlob(
  context: SendContext,
  blob: { readonly path: string; readonly digest: string; readonly size: number },
  range: { readonly offset: number; readonly end?: number } = { offset: 0 },
): Promise<OpenBlob> {
  const { offset, end } = range;
  const wantsRange = offset > 0 || end !== undefined;
  const headers: Record<string, string> = wantsRange
    ? { Range: `bytes=${offset}-${end === undefined ? '' : end - 1}` }
    : {};
  const url = `/${blob.path}/blobs/${blob.digest}`;
  const what = `Get "${context.endpoint.base}${url}"`;
  const response = await send(context, { method: 'GET', url, headers });
  const { status } = response;
  if (status !== 200 && status !== 206) throw await failureOf(response, what, context.signal);
  if (status === 206) {
    const match = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(response.headers.get('content-range') ?? '');
    const wrong = match === null || Number(match[1]) !== offset || (match[3] !== '*' && Number(match[3]) !== blob.size);
    if (wrong) {
      await discard(response.body);
      throw unavailable(`${what}: the registry answers another range than asked for`);
    }
    return { body: response.body, offset, partial: true, what };
  }
  const length = response.headers.get('content-length');
  if (length !== null && Number(length) !== blob.size) {
    await discard(response.body);
    throw dataLoss(`${what}: blob ${blob.digest} has ${length} bytes there, its descriptor says ${blob.size}`);
  }
  return { body: response.body, offset: 0, partial: false, what };
}

/** A small blob whole, unverified but for its size. Errors: as openBlob; data-loss. */
export async function readBlob(
  repository: Repository,
  blob: { readonly digest: string; readonly size: number },
  first?: Session,
): Promise<Buffer> {
  const { response, what } = await repository.ask({
    method: 'GET',
    url: repository.at(`/blobs/${blob.digest}`),
    capability: 'pull',
    accept: [200],
    again: true,
    only: first,
  });
  const bytes = await readAll(response.body, blob.size, { what, signal: repository.signal });
  if (bytes.length !== blob.size) {
    throw dataLoss(`${what}: blob ${blob.digest} has ${bytes.length} bytes, its descriptor says ${blob.size}`);
  }
  return bytes;
}

export async function hasBlob(repository: Repository, digest: string, session?: Session): Promise<boolean> {
  const { response } = await repository.ask({
    method: 'HEAD',
    url: repository.at(`/blobs/${digest}`),
    capability: 'push',
    accept: [200, 404],
    again: true,
    only: session,
  });
  await discard(response.body);
  return response.status === 200;
}
