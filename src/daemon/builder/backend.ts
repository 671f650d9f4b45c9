/** The engine as the builder sees it. */
import type { Backend, ImageQuery, StepRequest } from '#builder/backend.ts';
import { imagePull } from '#api/jobs/image.ts';
import type { Image } from '#image/image.ts';
import { parsePlatform } from '#image/platform.ts';
import { BerthError, invalidParameter, kindOf, notFound } from '#errdefs/errors.ts';
import { parseSignal } from '#container/signals.ts';
import { resolveUser } from '#libcontainer/user.ts';
import { isErrno } from '#sys/errno.ts';
import { close, readAll } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';
import { familiarString, parseReference, withDefaultTag } from '#reference/reference.ts';
import { publishImageEvent } from '../image/remove.ts';
import type { Services } from '../services.ts';
import { isInterpreted } from './binfmt.ts';
import { unseenProgress } from './progress-errors.ts';

const USER_FILE_BYTES_MAX = 16 << 20;

export function buildBackend(services: () => Services): Backend {
  return {
    get platform() {
      return { os: 'linux', architecture: hostArchitecture(), variant: '' };
    },
    runnable,
    image: (query) => findImage(services(), query),
    describe: async (query) => {
      if (query.pull || lookUp(services(), query) !== undefined) return undefined;
      return (await import('./describe-image.ts')).describeImage(services(), query);
    },
    run: async (request: StepRequest) => (await import('./run-step.ts')).runStep(services(), request),
    checkSignal: (text) => void parseSignal(text),
    resolveUser: (root, user) => userOf(root, user),
    compress: async (blob, wish, lease, signal) => {
      const { recompressBlob } = await import('#distribution/recompress.ts');
      const { images } = services();
      const { content, layers } = images;
      // A plain one that was only measured is made of the layer's files again.
      if (!content.has(blob.digest) && blob.compression !== 'plain') {
        const using = layers.list().filter((layer) => layer.blob.digest === blob.digest);
        await (await services().distribution()).bring(using.slice(0, 1), { lease, signal });
      }
      return recompressBlob({ content, layers }, blob, wish, lease, signal);
    },
    built: (id, names) => {
      for (const name of names) publishImageEvent(services(), 'tag', id, name);
    },
    collect: async () => void (await services().graph.collect()),
  };
}

const hostArchitecture = (): string => (process.arch === 'x64' ? 'amd64' : process.arch);

/** By itself or through an interpreter that the kernel knows. */
function runnable(architecture: string): boolean {
  const host = hostArchitecture();
  if (architecture === '' || architecture === host || (host === 'amd64' && architecture === '386')) return true;
  return isInterpreted(architecture);
}

async function findImage(services: Services, query: ImageQuery): Promise<Image> {
  const { reference, signal } = query;
  if (!query.pull) {
    const local = lookUp(services, query);
    if (local !== undefined) return local;
  }
  await pullImage(services, query, signal);
  const pulled = lookUp(services, query);
  if (pulled === undefined) throw notFound(`${reference}: not found`);
  return pulled;
}

function lookUp(services: Services, { reference, platform }: ImageQuery): Image | undefined {
  try {
    return services.images.resolve(reference, platform === '' ? undefined : parsePlatform(platform));
  } catch (error) {
    if (kindOf(error) === 'not-found') return undefined;
    if (kindOf(error) === 'invalid-parameter')
      throw invalidParameter(`failed to parse stage name ${JSON.stringify(reference)}: invalid reference format`, {
        cause: error,
      });
    throw error;
  }
}

async function pullImage(services: Services, query: ImageQuery, signal: AbortSignal): Promise<void> {
  const reference = withDefaultTag(parseReference(query.reference));
  const name = familiarString(reference);
  const tag = name.slice(name.lastIndexOf(reference.digest === undefined ? ':' : '@') + 1);
  const image = name.slice(0, -tag.length - 1);
  const auth = await query.logins.login(reference.domain, signal);
  const { progress, failure } = unseenProgress(signal);
  try {
    await services.engine.run(
      imagePull,
      { image, tag, platform: query.platform, auth, progress },
      { caller: { source: 'build' }, signal },
    );
  } catch (error) {
    if (!(error instanceof BerthError)) throw error;
    throw new BerthError(error.kind, `${query.reference}: ${error.message}`, { cause: error });
  }
  const failed = failure();
  if (failed !== undefined) throw notFound(`${query.reference}: ${failed}`);
}

/** In the passwd and group of the file system that is built. */
function userOf(root: number, user: string): { readonly uid: number; readonly gid: number } {
  const passwd = smallFile(root, '/etc/passwd');
  const group = smallFile(root, '/etc/group');
  const [name = '', groupName] = user.split(':');
  const { uid, gid } = resolveUser(user, { passwd, group });
  // As in COPY --chown=55: the group is the same number then.
  if (groupName === undefined && /^[0-9]+$/.test(name)) return { uid, gid: uid };
  return { uid, gid };
}

function smallFile(root: number, path: string): string {
  let fd: number;
  try {
    fd = openInRoot(root, path, O.RDONLY | O.NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return '';
    throw error;
  }
  try {
    return Buffer.from(readAll(fd, USER_FILE_BYTES_MAX)).toString();
  } finally {
    close(fd);
  }
}
