/**
 * Routes for copying images from daemon to daemon: our own. The reader is asked what it lacks, and gets an archive
 * without the rest (`POST /images/load?berth-partial=1`).
 */
import { imageLayers, imageMissing, imageSave } from '#api/jobs/image.ts';
import type { ImageExportRequest, MissingBlobs } from '#api/types/image.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { list, text } from '../decode/fields.ts';
import { decodePlatforms } from '../decode/platform.ts';
import { readJsonRequired } from '../json-body.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { streamJob } from './streaming.ts';

/** Of images that nobody has: 127 layers each. */
const DIGESTS_MAX = 50_000;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

async function layers(ctx: RouteContext): Promise<void> {
  const names = ctx.query.all('names');
  if (names.length === 0) throw invalidParameter('no image names were given');
  ctx.sendJson(200, await ctx.run(imageLayers, { names, platforms: decodePlatforms(ctx.query.all('platform')) }));
}

async function missing(ctx: RouteContext): Promise<void> {
  const digests = digestsOf(await readJsonRequired(ctx.exchange), 'MissingBlobs', 'Digests');
  const { missing: lacked, begun } = await ctx.run(imageMissing, { digests });
  const answer: MissingBlobs = { Digests: [...lacked], Begun: Object.fromEntries(begun) };
  ctx.sendJson(200, answer);
}

async function exportImages(ctx: RouteContext): Promise<void> {
  const body = await readJsonRequired(ctx.exchange);
  const names = textsOf(body, 'ImageExportRequest', 'Names');
  if (names.length === 0) throw invalidParameter('no image names were given');
  const without = digestsOf(body, 'ImageExportRequest', 'Without');
  const from = offsetsOf(body);
  const platforms = decodePlatforms(ctx.query.all('platform'));
  const output = ctx.exchange.stream(200, 'application/x-tar');
  await streamJob(output, () => ctx.run(imageSave, { names, platforms, without, from, output }));
}

/** Errors: invalid-parameter. */
function offsetsOf(body: unknown): Map<string, number> {
  const given: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'From') : undefined;
  const offsets = new Map<string, number>();
  if (given === undefined || given === null) return offsets;
  const entries: readonly (readonly [string, unknown])[] = typeof given === 'object' ? Object.entries(given) : [];
  if (typeof given !== 'object' || entries.length > DIGESTS_MAX) throw invalidParameter('From: not offsets by digest');
  for (const [digest, offset] of entries) {
    if (!DIGEST.test(digest) || typeof offset !== 'number' || !Number.isSafeInteger(offset) || offset < 0) {
      throw invalidParameter(`From: ${JSON.stringify(digest.slice(0, 100))} has no offset`);
    }
    offsets.set(digest, offset);
  }
  return offsets;
}

function textsOf(body: unknown, struct: string, field: keyof (ImageExportRequest & MissingBlobs)): string[] {
  const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, field) : undefined;
  const texts = list(text)(value, { struct, path: field }) ?? [];
  if (texts.length > DIGESTS_MAX) throw invalidParameter(`${field}: more than ${DIGESTS_MAX} entries`);
  return texts;
}

function digestsOf(body: unknown, struct: string, field: 'Digests' | 'Without'): string[] {
  const digests = textsOf(body, struct, field);
  const wrong = digests.find((digest) => !DIGEST.test(digest));
  if (wrong !== undefined) throw invalidParameter(`${field}: ${JSON.stringify(wrong.slice(0, 100))} is no digest`);
  return digests;
}

export const imageTransferRoutes: readonly Route[] = [
  route('GET', '/berth/images/layers', 24, 'list the layers that a save would write', layers),
  route('POST', '/berth/images/missing', 24, 'tell which blobs are not here', missing),
  route('POST', '/berth/images/export', 24, 'save images without layers that the reader has', exportImages),
];
