/** Routes of images. */
import {
  imageAttestations,
  distributionInspect,
  imageCopy,
  imageHistory,
  imageImport,
  imageInspect,
  imageList,
  imageLoad,
  imagePull,
  imagePush,
  imageRemove,
  imageSave,
  imageSearch,
  imageTag,
} from '#api/jobs/image.ts';
import type { ContainerConfig } from '#api/types/container.ts';
import type { Platform } from '#api/types/descriptor.ts';
import type { ImageInspect, ImageSummary } from '#api/types/image.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { decodeFilters } from '#pkg/filters/filters.ts';
import { decodePlatform, decodePlatforms } from '../decode/platform.ts';
import { quote } from '../query.ts';
import { type Route, type RouteContext, route } from '../route.ts';
import { progressError, streamJob } from './streaming.ts';

/** Until API 1.43 the size had a second name. */
function withVirtualSize<T extends ImageSummary | ImageInspect>(image: T, minor: number): T {
  return minor < 44 ? { ...image, VirtualSize: image.Size } : image;
}

/** What of a container's configuration no image has. */
const notOfImages = [
  'Hostname',
  'Domainname',
  'AttachStdin',
  'AttachStdout',
  'AttachStderr',
  'Tty',
  'OpenStdin',
  'StdinOnce',
  'Image',
] as const;

/** Until API 1.49 they were there, empty. */
function withoutContainerFields(image: ImageInspect, minor: number): ImageInspect {
  if (minor < 50 || image.Config === null) return image;
  const config: Partial<ContainerConfig> = { ...image.Config };
  for (const name of notOfImages) delete config[name];
  // as: what is left out is optional to every reader of this version.
  return { ...image, Config: config as ContainerConfig };
}

/** Until API 1.42 an image without names was listed with names that say so. */
function withNoNames(image: ImageSummary, minor: number): ImageSummary {
  const named = image.RepoTags.length > 0 || image.RepoDigests.length > 0;
  return minor < 43 && !named ? { ...image, RepoTags: ['<none>:<none>'], RepoDigests: ['<none>@<none>'] } : image;
}

/** A list as API versions before this one had it. */
export function forOlderClients(images: ImageSummary[], minor: number): ImageSummary[] {
  return minor < 44 ? images.map((image) => withVirtualSize(withNoNames(image, minor), minor)) : images;
}

async function list(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const filters = new Map(decodeFilters(query.text('filters')));
  const reference = query.text('filter');
  if (ctx.minor < 41 && reference !== '') filters.set('reference', [reference]);
  const images = await ctx.run(imageList, {
    all: query.flag('all'),
    sharedSize: query.flag('shared-size'),
    manifests: ctx.minor >= 47 && query.flag('manifests'),
    filters,
  });
  ctx.sendJson(200, forOlderClients(images, ctx.minor));
}

async function inspect(ctx: RouteContext): Promise<void> {
  const { query, minor } = ctx;
  const platform = minor >= 49 ? decodePlatform(query.text('platform')) : undefined;
  const manifests = minor >= 48 && query.flag('manifests');
  if (platform !== undefined && manifests) {
    throw invalidParameter('conflicting options: manifests and platform options cannot both be set');
  }
  const image = await ctx.run(imageInspect, { image: ctx.param('name'), platform, manifests });
  ctx.sendJson(200, withVirtualSize(withoutContainerFields(image, minor), minor));
}

async function history(ctx: RouteContext): Promise<void> {
  const platform = ctx.minor >= 48 ? decodePlatform(ctx.query.text('platform')) : undefined;
  ctx.sendJson(200, await ctx.run(imageHistory, { image: ctx.param('name'), platform }));
}

async function attestations(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const input = {
    image: ctx.param('name'),
    platform: decodePlatform(query.text('platform')),
    types: query.all('type').filter((type) => type !== ''),
    statement: query.flag('statement'),
  };
  ctx.sendJson(200, await ctx.run(imageAttestations, input));
}

async function tag(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  await ctx.run(imageTag, { image: ctx.param('name'), repo: query.text('repo'), tag: query.text('tag') });
  ctx.sendEmpty(201);
}

async function remove(ctx: RouteContext): Promise<void> {
  const image = ctx.param('name');
  if (image.trim() === '') throw invalidParameter('image name cannot be blank');
  const { query } = ctx;
  const platforms = ctx.minor >= 50 ? decodePlatforms(query.all('platforms')) : [];
  const input = { image, force: query.flag('force'), noprune: query.flag('noprune'), platforms };
  ctx.sendJson(200, await ctx.run(imageRemove, input));
}

async function load(ctx: RouteContext): Promise<void> {
  const platforms = platformsOf(ctx);
  const progress = ctx.exchange.stream(200, 'application/json');
  const { query } = ctx;
  const partial = query.flag('berth-partial');
  const input = { archive: ctx.exchange.body, quiet: query.flag('quiet'), platforms, partial, progress };
  await streamJob(progress, () => ctx.run(imageLoad, input), progressError);
}

async function save(ctx: RouteContext, names: readonly string[]): Promise<void> {
  if (names.length === 0) throw invalidParameter('no image names were given');
  const platforms = platformsOf(ctx);
  const output = ctx.exchange.stream(200, 'application/x-tar');
  await streamJob(output, () => ctx.run(imageSave, { names, platforms, without: [], from: new Map(), output }));
}

const platformsOf = (ctx: RouteContext): Platform[] =>
  ctx.minor >= 48 ? decodePlatforms(ctx.query.all('platform')) : [];

const authOf = (ctx: RouteContext): string => ctx.exchange.head.headers.get('x-registry-auth') ?? '';

async function push(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const progress = ctx.exchange.stream(200, 'application/json');
  const platform = ctx.minor >= 46 ? query.text('platform') : '';
  // Clients of before the header sent their credentials in the body, which is not looked at any more.
  const input = { image: ctx.param('name'), tag: query.text('tag'), platform, auth: authOf(ctx), progress };
  await streamJob(progress, () => ctx.run(imagePush, input), progressError);
}

async function search(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const given = query.text('limit');
  if (!/^-?[0-9]{0,9}$/.test(given)) throw invalidParameter(`strconv.Atoi: parsing ${quote(given)}: invalid syntax`);
  const term = query.text('term');
  const filters = decodeFilters(query.text('filters'));
  ctx.sendJson(200, await ctx.run(imageSearch, { term, limit: Number(given), filters, auth: authOf(ctx) }));
}

async function inspectInRegistry(ctx: RouteContext): Promise<void> {
  ctx.sendJson(200, await ctx.run(distributionInspect, { image: ctx.param('name'), auth: authOf(ctx) }));
}

/** Ours: from registry to registry. Credentials: X-Registry-Auth of the source, X-Registry-Auth-To of the other. */
async function copy(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const progress = ctx.exchange.stream(200, 'application/json');
  const input = {
    source: query.text('from'),
    destination: query.text('to'),
    platform: query.text('platform'),
    sourceAuth: authOf(ctx),
    destinationAuth: ctx.exchange.head.headers.get('x-registry-auth-to') ?? '',
    progress,
  };
  if (input.source === '' || input.destination === '') throw invalidParameter('from and to are required');
  await streamJob(progress, () => ctx.run(imageCopy, input), progressError);
}

/** Pull, or import from the body (`fromSrc=-`) or from elsewhere. */
async function create(ctx: RouteContext): Promise<void> {
  const { query } = ctx;
  const image = query.text('fromImage');
  const source = query.text('fromSrc');
  const platform = ctx.minor >= 32 ? query.text('platform') : '';
  const progress = ctx.exchange.stream(200, 'application/json');
  if (image !== '') {
    const input = { image, tag: query.text('tag'), platform, auth: authOf(ctx), progress };
    await streamJob(progress, () => ctx.run(imagePull, input), progressError);
    return;
  }
  if (source === '') throw invalidParameter('fromImage or fromSrc is required');
  const input = {
    source,
    archive: ctx.exchange.body,
    repo: query.text('repo'),
    tag: query.text('tag'),
    message: query.text('message'),
    changes: query.all('changes'),
    platform,
    progress,
  };
  await streamJob(progress, () => ctx.run(imageImport, input), progressError);
}

export const imageRoutes: readonly Route[] = [
  route('GET', '/images/json', 24, 'list images', list),
  route('GET', '/images/search', 24, 'search for images', search),
  route('GET', '/images/get', 24, 'save images', (ctx) => save(ctx, ctx.query.all('names'))),
  route('POST', '/images/create', 24, 'pull or import an image', create),
  route('POST', '/images/load', 24, 'load images', load),
  route('GET', '/images/{name...}/get', 24, 'save an image', (ctx) => save(ctx, [ctx.param('name')])),
  route('GET', '/images/{name...}/json', 24, 'inspect an image', inspect),
  route('GET', '/images/{name...}/attestations', 51, 'list the attestations of an image', attestations),
  route('GET', '/images/{name...}/history', 24, 'show the history of an image', history),
  route('POST', '/images/{name...}/push', 24, 'push an image', push),
  route('POST', '/berth/images/copy', 24, 'copy an image from registry to registry', copy),
  route('POST', '/images/{name...}/tag', 24, 'tag an image', tag),
  route('DELETE', '/images/{name...}', 24, 'remove an image', remove),
  route('GET', '/distribution/{name...}/json', 30, 'inspect an image in its registry', inspectInRegistry),
];
