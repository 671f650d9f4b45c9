/**
 * One request: path → target → authorization → handler. Answers at once where nothing has to be waited for: a pull is
 * mostly manifests and blobs that are here.
 */
import { log } from '#pkg/log/log.ts';
import { type Access, type Action, TOKEN_PATH } from './auth/authorizer.ts';
import { collect } from './collect.ts';
import { COMMON_HEADERS, failureResponse, RegistryError } from './errors.ts';
import { parseTarget, type Target } from './names.ts';
import type { ReadThrough, Registry } from './registry.ts';
import { deleteBlob, getBlob, refuseUnlessDeletable } from './serve-blobs.ts';
import { listReferrers, listRepositories, listTags, referrersResponse, tagsResponse } from './serve-lists.ts';
import { deleteManifest, getManifest, putManifest } from './serve-manifests.ts';
import { askUpload, beginUpload, cancelUpload, patchUpload, putUpload } from './serve-uploads.ts';

type Answer = Response | Promise<Response>;
const NO_QUERY = new URLSearchParams();

/** Never throws, never rejects. */
export function handle(registry: Registry, request: Request): Answer {
  try {
    const answer = route(registry, request);
    return answer instanceof Promise ? answer.catch((error: unknown) => failed(request, error)) : answer;
  } catch (error) {
    return failed(request, error);
  }
}

function failed(request: Request, error: unknown): Response {
  if (request.signal.aborted || (error instanceof Error && error.name === 'AbortError')) {
    log.debug('the client went away', { method: request.method, url: request.url });
    return new Response(null, { status: 499 });
  }
  return failureResponse(error, request.method);
}

function route(registry: Registry, request: Request): Answer {
  const { url } = request;
  // Without `new URL`: it costs more than the rest of a small request.
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('://') + 3);
  const mark = url.indexOf('?', start);
  const raw = start < 0 ? '/' : url.slice(start, mark < 0 ? undefined : mark);
  const query = mark < 0 ? NO_QUERY : new URLSearchParams(url.slice(mark + 1));
  const path = raw.includes('%') ? decoded(raw) : raw;
  if (!path.startsWith('/v2/')) {
    if (path === '/v2') return registryTarget(registry, { kind: 'base' }, request, query);
    return other(registry, path, request);
  }
  if (path === TOKEN_PATH && registry.options.authorizer.token !== undefined) {
    if (request.method !== 'GET') throw wrongMethod('GET');
    return registry.options.authorizer.token(request);
  }
  if (path === '/v2/_berth/collect') return collectNow(registry, request, query);
  const target = parseTarget(path.slice('/v2/'.length));
  if (target === undefined) throw new RegistryError('UNSUPPORTED', 'there is no such endpoint', { status: 404 });
  return registryTarget(registry, mirrored(registry, target, query), request, query);
}

/** containerd and others say of a mirror's repository whose it is: `?ns=docker.io`. */
function mirrored(registry: Registry, target: Target, query: URLSearchParams): Target {
  const namespace = query.get('ns');
  if (namespace === null || registry.cache === undefined || !('name' in target)) return target;
  return { ...target, name: registry.cache.nameOf(target.name, namespace) };
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    throw new RegistryError('NAME_INVALID', 'invalid repository name: it is wrongly encoded', { cause });
  }
}

function registryTarget(registry: Registry, target: Target, request: Request, query: URLSearchParams): Answer {
  const { authorizer, readOnly } = registry.options;
  const accesses = accessesOf(target, request.method);
  const allowed = authorizer.authorize(request, accesses);
  const go = (): Answer => {
    if (readOnly && !isRead(request)) {
      throw new RegistryError('UNSUPPORTED', 'the operation is unsupported: this registry is read-only');
    }
    if ('name' in target && registry.cache?.covers(target.name) === true) {
      return cached(registry, registry.cache, target, request, query);
    }
    return answer(registry, target, request, query);
  };
  return allowed === undefined ? go() : allowed.then(go);
}

function accessesOf(target: Target, method: string): readonly Access[] {
  if (target.kind === 'base') return [];
  if (target.kind === 'catalogue') return [{ type: 'registry', name: 'catalog', action: '*' }];
  const isUpload = target.kind === 'upload' || target.kind === 'uploads';
  const isRead = (method === 'GET' || method === 'HEAD') && !isUpload;
  const actions: readonly Action[] = isRead
    ? ['pull']
    : method === 'DELETE' && !isUpload
      ? ['delete']
      : ['pull', 'push'];
  return actions.map((action) => ({ type: 'repository', name: target.name, action }));
}

function answer(registry: Registry, target: Target, request: Request, query: URLSearchParams): Answer {
  if (target.kind === 'manifest') return manifest(registry, target, request);
  if (target.kind === 'blob') return blob(registry, target, request);
  if (target.kind === 'upload') return upload(registry, target, request, query);
  if (target.kind === 'uploads') {
    if (request.method !== 'POST') throw wrongMethod('POST');
    return beginUpload(registry, target.name, request, query, (from) => mayPull(registry, request, from));
  }
  if (!isRead(request)) throw wrongMethod('GET');
  if (target.kind === 'catalogue') return listRepositories(registry, query);
  if (target.kind === 'tags') return listTags(registry, target.name, query);
  if (target.kind === 'referrers') return listReferrers(registry, target.name, target.digest, query);
  return new Response('{}', { headers: { ...COMMON_HEADERS, 'content-type': 'application/json' } });
}

const isRead = ({ method }: Request): boolean => method === 'GET' || method === 'HEAD';

function blob(registry: Registry, { name, digest }: Of<'blob'>, request: Request): Answer {
  if (isRead(request)) return getBlob(registry, name, digest, request);
  if (request.method !== 'DELETE') throw wrongMethod('GET, HEAD, DELETE');
  refuseUnlessDeletable(registry);
  return deleteBlob(registry, name, digest);
}

/** A repository of another registry: read through, and nothing but deleted by us. */
function cached(
  registry: Registry,
  cache: ReadThrough,
  target: Target,
  request: Request,
  query: URLSearchParams,
): Answer {
  const isBlob = target.kind === 'blob';
  if (request.method === 'DELETE' && (isBlob || target.kind === 'manifest')) {
    return answer(registry, target, request, query);
  }
  if (!isRead(request) || target.kind === 'upload') {
    throw new RegistryError(
      'UNSUPPORTED',
      'the operation is unsupported: this repository is a cache of another registry',
    );
  }
  if (isBlob) return cache.blob(target.name, target.digest, request);
  if (target.kind === 'manifest') return cache.manifest(target.name, target.reference, request);
  if (target.kind === 'tags') return cache.tags(target.name).then((tags) => tagsResponse(target.name, tags, query));
  if (target.kind === 'referrers') {
    const { name, digest } = target;
    return cache
      .referrers(name, digest)
      .then((all) =>
        all === undefined ? listReferrers(registry, name, digest, query) : referrersResponse(name, digest, all, query),
      );
  }
  return answer(registry, target, request, query);
}

type Of<K extends Target['kind']> = Extract<Target, { kind: K }>;

function manifest(registry: Registry, target: Of<'manifest'>, request: Request): Answer {
  const { name, reference } = target;
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return getManifest(registry, name, reference, request);
    case 'PUT':
      return putManifest(registry, name, reference, request);
    case 'DELETE':
      refuseUnlessDeletable(registry);
      return deleteManifest(registry, name, reference);
    default:
      throw wrongMethod('GET, HEAD, PUT, DELETE');
  }
}

function upload(registry: Registry, target: Of<'upload'>, request: Request, query: URLSearchParams): Answer {
  const { name, session } = target;
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return askUpload(registry, name, session);
    case 'PATCH':
      return patchUpload(registry, name, session, request);
    case 'PUT':
      return putUpload(registry, name, session, request, query);
    case 'DELETE':
      return cancelUpload(registry, name, session);
    default:
      throw wrongMethod('GET, PATCH, PUT, DELETE');
  }
}

async function mayPull(registry: Registry, request: Request, name: string): Promise<boolean> {
  try {
    const access: Access = { type: 'repository', name, action: 'pull' };
    await registry.options.authorizer.authorize(request, [access]);
    return true;
  } catch (error) {
    if (error instanceof RegistryError) return false;
    throw error;
  }
}

const wrongMethod = (allow: string) =>
  new RegistryError('UNSUPPORTED', 'the operation is unsupported', { headers: { allow } });

/** `POST /v2/_berth/collect[?dry-run=1]`: no repository can have that name. */
async function collectNow(registry: Registry, request: Request, query: URLSearchParams): Promise<Response> {
  const access: Access = { type: 'registry', name: 'catalog', action: '*' };
  await registry.options.authorizer.authorize(request, [access]);
  if (request.method !== 'POST') throw wrongMethod('POST');
  const dryRun = query.get('dry-run');
  const report = await collect(registry, { dryRun: dryRun !== null && dryRun !== '0' && dryRun !== 'false' });
  return Response.json(report, { headers: COMMON_HEADERS });
}

/** The page, for people; loaded when one asks for it. */
async function other(registry: Registry, path: string, request: Request): Promise<Response> {
  const isPage = path === '/' || path.startsWith('/-/');
  if (!registry.options.page || !isPage) {
    throw new RegistryError('UNSUPPORTED', 'there is no such endpoint', { status: 404 });
  }
  const access: Access = { type: 'registry', name: 'catalog', action: '*' };
  await registry.options.authorizer.authorize(request, [access]);
  if (request.method !== 'GET' && request.method !== 'HEAD') throw wrongMethod('GET');
  const { pageResponse } = await import('./page.ts');
  return pageResponse(registry, path, request.method);
}
