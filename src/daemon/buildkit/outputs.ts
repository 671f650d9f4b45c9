/**
 * What becomes of a build's result, as the client of its session asked: files and archives go to the client, images into
 * the store, and from there to registries with the client's log-ins. An archive is made of the image in the store.
 */
import { imagePush, imageSave } from '#api/jobs/image.ts';
import type { SessionBuildOutput } from '#api/jobs/buildkit.ts';
import type { Session } from '#builder/buildkit/session.ts';
import type { Trace } from '#builder/buildkit/trace.ts';
import type { BuildResult, Exporter, LoginSource } from '#builder/request.ts';
import { invalidParameter, notImplemented, systemError } from '#errdefs/errors.ts';
import { canonicalString, familiarName, type Reference } from '#reference/reference.ts';
import { unseenProgress } from '../builder/progress-errors.ts';
import type { Services } from '../services.ts';
import { sendStream, sendTree } from './send-files.ts';

export interface Outputs {
  /** An image is made. */
  readonly image: boolean;
  readonly exporters: readonly Exporter[];
  /** After the build. What is said of the image to the client. */
  deliver(result: BuildResult, signal: AbortSignal): Promise<ReadonlyMap<string, string>>;
}

export interface OutputParts {
  readonly services: Services;
  readonly session: Session;
  readonly trace: Trace;
  readonly logins: LoginSource;
  readonly references: readonly Reference[];
}

const IMAGES: ReadonlySet<string> = new Set(['image', 'moby', 'docker', 'oci']);

const isTrue = (text: string | undefined): boolean => text === 'true' || text === '1';

/** Errors: not-implemented naming the type or what it wants. */
export function outputsOf(parts: OutputParts, outputs: readonly SessionBuildOutput[]): Outputs {
  const exporters: Exporter[] = [];
  const later: ((result: BuildResult, signal: AbortSignal) => Promise<void>)[] = [];
  for (const [index, { type, attributes }] of outputs.entries()) {
    const id = String(index);
    if (type === 'local') exporters.push(treeExporter(parts, id, attributes['platform-split']));
    else if (type === 'tar') exporters.push(tarExporter(parts, id));
    else if (type === 'oci' || type === 'docker') {
      if (attributes['tar'] === 'false') throw notImplemented(`the ${type} output into a directory is not there`);
      later.push((result, signal) => sendArchive(parts, { type, id }, result, signal));
    } else if (isTrue(attributes['push'])) {
      if (isTrue(attributes['push-by-digest'])) throw notImplemented('push-by-digest is not there with a session');
      later.push((_, signal) => push(parts, signal));
    } else if (!IMAGES.has(type) && type !== 'cacheonly') {
      throw notImplemented(`the output type ${JSON.stringify(type)} is not there for builds with a session`);
    }
  }
  return {
    image: outputs.length === 0 || outputs.some(({ type }) => IMAGES.has(type)),
    exporters,
    deliver: async (result, signal) => {
      if (result.imageId === '') return new Map();
      await told(parts, 'exporting to image', async (say) => {
        say('exporting layers');
        say(
          result.descriptor === undefined
            ? `writing image ${result.imageId}`
            : `exporting manifest ${result.descriptor.digest}`,
        );
        for (const reference of parts.references) say(`naming to ${canonicalString(reference)}`);
        for (const work of later) await work(result, signal);
      });
      return responseOf(result, parts.references);
    },
  };
}

async function told(
  { trace }: OutputParts,
  title: string,
  work: (say: (text: string) => void, transferred: (text: string, bytes: number) => void) => Promise<void>,
): Promise<void> {
  trace.vertex({ id: title, name: title, instruction: '', number: 0, total: 0, stage: '', inputs: [] });
  trace.started(title);
  try {
    await work(
      (text) => trace.status(title, text, 0, 0),
      (text, bytes) => trace.status(title, text, bytes, bytes),
    );
    trace.ended(title, 'done', {});
  } catch (error) {
    trace.ended(title, 'failed', { error: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

function responseOf({ imageId, descriptor, images }: BuildResult, references: readonly Reference[]) {
  const response = new Map<string, string>([['containerimage.digest', descriptor?.digest ?? imageId]]);
  if (images.length < 2) response.set('containerimage.config.digest', imageId);
  if (descriptor !== undefined) {
    const { mediaType, digest, size } = descriptor;
    const text = JSON.stringify({ mediaType, digest, size });
    response.set('containerimage.descriptor', Buffer.from(text).toString('base64'));
  }
  if (references.length > 0) response.set('image.name', references.map(canonicalString).join(','));
  return response;
}

function treeExporter(parts: OutputParts, id: string, split: string | undefined): Exporter {
  return {
    export: (root, _, signal, { platform, isOneOfMany }) => {
      const below = (split === undefined ? isOneOfMany : isTrue(split)) ? platform.replaceAll('/', '_') : '';
      return told(parts, 'exporting to client directory', async (_say, transferred) => {
        const bytes = await sendTree(parts.session, { root, below, id }, signal);
        transferred(`copying files${isOneOfMany ? ` ${platform}` : ''}`, bytes);
      });
    },
  };
}

function tarExporter(parts: OutputParts, id: string): Exporter {
  const { services, session } = parts;
  return {
    export: (root, _, signal, { isOneOfMany }) => {
      if (isOneOfMany) throw notImplemented('one tar of several platforms is not there: use type=local or type=oci');
      const job = { kind: 'pack-tree', root, prefix: '', leaveOut: [] } as const;
      return told(parts, 'exporting to client tarball', async (say) => {
        await sendStream(session, id, (write) => services.archives.pack(job, { write }, { signal }), signal);
        say('sending tarball');
      });
    },
  };
}

async function sendArchive(
  { services, session, references }: OutputParts,
  { type, id }: { readonly type: 'oci' | 'docker'; readonly id: string },
  { imageId, images }: BuildResult,
  signal: AbortSignal,
): Promise<void> {
  if (type === 'docker' && images.length > 1) {
    throw invalidParameter('docker exporter does not support exporting manifest lists, use the oci exporter instead');
  }
  const names = references.length === 0 ? [imageId] : references.map(canonicalString);
  const produce = (write: (bytes: Uint8Array) => Promise<void>) =>
    services.engine.run(
      imageSave,
      { names, platforms: [], without: [], from: new Map(), output: { write, flush: () => undefined, closed: signal } },
      { caller: { source: 'build' }, signal },
    );
  await sendStream(session, id, produce, signal);
}

/** Under all of its names. Errors: those of pushes. */
async function push({ services, logins, references }: OutputParts, signal: AbortSignal): Promise<void> {
  if (references.length === 0) throw invalidParameter('tag is needed when pushing to registry');
  for (const reference of references) {
    const auth = await logins.login(reference.domain, signal);
    const { progress, failure } = unseenProgress(signal);
    const input = { image: familiarName(reference), tag: reference.tag ?? 'latest', platform: '', auth, progress };
    await services.engine.run(imagePush, input, { caller: { source: 'build' }, signal });
    const failed = failure();
    if (failed !== undefined) throw systemError(`failed to push ${canonicalString(reference)}: ${failed}`);
  }
}
