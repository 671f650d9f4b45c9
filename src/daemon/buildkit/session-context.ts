/**
 * Directories of a client's session as contexts of a build. What was sent is kept (builder/context/kept-contexts), so
 * that the next build of the same is sent what has changed.
 */
import { clientFiles } from '#builder/buildkit/receive-files.ts';
import { receiveFiles } from '#builder/buildkit/session-methods.ts';
import type { Session } from '#builder/buildkit/session.ts';
import { smallClientFiles } from '#builder/buildkit/small-files.ts';
import { ignorePatterns } from '#builder/dockerfile/ignore.ts';
import type { BuildContext, WantedFiles } from '#builder/request.ts';
import { KeptBuildContext } from '../builder/contexts.ts';
import { sessionKey } from '../builder/kept-key.ts';
import type { Services } from '../services.ts';

const FILE_BYTES_MAX = 8 << 20;

export interface SessionFiles {
  readonly services: Services;
  /** That which shares the directory. */
  readonly sessionOf: (signal: AbortSignal) => Promise<Session>;
  /** Gives up the files when the build has ended. */
  readonly stack: AsyncDisposableStack;
  /** What tells builds apart that have a directory of the same name. */
  readonly build: readonly string[];
}

/** A step of the build in its progress, and how many bytes have come. */
export interface Transfer {
  bytes(count: number): void;
}

/** `name`: `context`, `dockerfile`, or that of a further context. */
export function sessionContext(
  files: SessionFiles,
  name: string,
  transfer: <T>(work: (transfer: Transfer) => Promise<T>) => Promise<T>,
): BuildContext {
  // Of one build mostly all that is wanted is known from the beginning.
  const taken = new Map<string, Promise<KeptBuildContext>>();
  const take = (wanted: WantedFiles, signal: AbortSignal): Promise<KeptBuildContext> => {
    const key = JSON.stringify(wanted);
    let found = taken.get(key);
    if (found === undefined) {
      found = transfer((told) => fetchFiles(files, name, wanted, told, signal));
      found.catch(() => undefined);
      taken.set(key, found);
    }
    return found;
  };
  return {
    readFile: async (path, signal, told = () => undefined) =>
      (await readFiles(files, name, [path], told, signal)).get(path),
    kept: async (wanted, signal) => (await take(wanted, signal)).kept(),
    files: async (wanted, signal) => (await take(wanted, signal)).files(wanted, signal),
  };
}

/** Those that there are. */
export async function readFiles(
  { sessionOf }: Pick<SessionFiles, 'sessionOf'>,
  name: string,
  paths: readonly string[],
  told: (bytes: number) => void,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const session = await sessionOf(signal);
  // A client whose context comes otherwise shares no directories.
  if (!session.supports(receiveFiles)) return new Map();
  return smallClientFiles(session, { name, paths, bytesMax: FILE_BYTES_MAX }, told, signal);
}

async function fetchFiles(
  { services, sessionOf, stack, build }: SessionFiles,
  name: string,
  { sources, ignore }: WantedFiles,
  told: Transfer,
  signal: AbortSignal,
): Promise<KeptBuildContext> {
  const follow = (sources ?? []).map((source) => source.replace(/^\/+/, ''));
  const whole = sources === undefined || follow.some((source) => source === '' || source === '.');
  const session = await sessionOf(signal);
  const wanted = { name, include: [], exclude: ignore, follow: whole ? [] : follow };
  const { contexts } = services.builder.parts;
  // After it is used no more.
  stack.defer(() => contexts.shrink());
  const { sharedKey } = session.head;
  const kept = await contexts.receiveFrom(
    sharedKey === '' ? '' : sessionKey(sharedKey, name, build),
    (base) => clientFiles(session, wanted, { base, told: told.bytes }, signal),
    services.archives,
    signal,
  );
  return new KeptBuildContext(services, stack.use(kept), '', stack);
}

/** A directory that has an ignore file for itself. */
export function withIgnoreFile(
  context: BuildContext,
  read: (signal: AbortSignal) => Promise<Uint8Array | undefined>,
): BuildContext {
  let lines: Promise<readonly string[]> | undefined;
  const own = async ({ sources }: WantedFiles, signal: AbortSignal): Promise<WantedFiles> => {
    lines ??= read(signal).then((bytes) => (bytes === undefined ? [] : ignorePatterns(Buffer.from(bytes).toString())));
    return { sources, ignore: await lines };
  };
  return {
    ...context,
    kept: async (wanted, signal) => context.kept?.(await own(wanted, signal), signal),
    files: async (wanted, signal) => context.files(await own(wanted, signal), signal),
  };
}
