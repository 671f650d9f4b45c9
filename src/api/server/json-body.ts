/** JSON request bodies as dockerd takes them: which Content-Type, what an empty one means, and the words of refusal. */
import { invalidParameter } from '#errdefs/errors.ts';
import { parseJson } from './decode/go-json.ts';
import type { Exchange } from './exchange.ts';

export const JSON_BODY_MAX = 4 * 1024 * 1024;
const MEDIA_TYPE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export function isJsonType(contentType: string): boolean {
  return mediaTypeOf(contentType) === 'application/json';
}

function mediaTypeOf(contentType: string): string {
  return (contentType.split(';')[0] ?? '').trim().toLowerCase();
}

function checkContentType(exchange: Exchange): void {
  const given = exchange.head.headers.get('content-type') ?? '';
  if (given === '' && exchange.head.framing.kind === 'none') return;
  const type = mediaTypeOf(given);
  if (type === 'application/json') return;
  if (type !== '' && !MEDIA_TYPE.test(type)) {
    throw invalidParameter(`malformed Content-Type header (${given}): mime: unexpected content after media type`);
  }
  throw invalidParameter(`unsupported Content-Type header (${given}): must be 'application/json'`);
}

/** undefined when there is no body. */
export async function readJson(exchange: Exchange): Promise<unknown> {
  checkContentType(exchange);
  if (exchange.head.framing.kind === 'none') return undefined;
  const outcome = parseJson((await exchange.readBody(JSON_BODY_MAX)).toString('utf8'));
  if (outcome.kind === 'empty') throw invalidParameter('invalid JSON: got EOF while reading request body');
  if (outcome.kind === 'error') throw invalidParameter(`invalid JSON: ${outcome.message}`);
  if (outcome.trailing) throw invalidParameter('unexpected content after JSON');
  return outcome.value;
}

/** A body has to be there. */
export async function readJsonRequired(exchange: Exchange): Promise<unknown> {
  const value = await readJson(exchange);
  if (value === undefined) throw invalidParameter('invalid JSON: got EOF while reading request body');
  return value;
}
