/** Directories of a client's session as contexts of a build: what is wanted is sent once, into a directory of the build. */
import { clientFiles } from '#builder/buildkit/receive-files.ts';
import { receiveFiles } from '#builder/buildkit/session-methods.ts';
import type { Session } from '#builder/buildkit/session.ts';
import type { BuildContext, WantedFiles } from '#builder/request.ts';
import { kindOf } from '#errdefs/errors.ts';
import { directoryContext, tarContext } from '../builder/contexts.ts';
import type { Services } from '../services.ts';

export interface SessionFiles {
  readonly services: Services;
  /** That which shares the directory. */
  readonly sessionOf: (signal: AbortSignal) => Promise<Session>;
  /** Removes the files when the build has ended. */
  readonly stack: AsyncDisposableStack;
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
  let all: Promise<{ readonly root: number }> | undefined;
  return {
    readFile: (path, signal) => readFile(files, name, path, signal),
    // Of one build all that is wanted is known from the beginning, so the first answer is for all.
    files: (wanted, signal) =>
      (all ??= transfer(async (told) => ({ root: await fetchFiles(files, name, wanted, told, signal) }))),
  };
}

async function readFile({ services, sessionOf }: SessionFiles, name: string, path: string, signal: AbortSignal) {
  const session = await sessionOf(signal);
  // A client whose context comes otherwise shares no directories.
  if (!session.supports(receiveFiles)) return undefined;
  await using stack = new AsyncDisposableStack();
  const tar = clientFiles(session, { name, include: [path], exclude: [], follow: [path] }, signal);
  try {
    const root = await tarContext(services, tar, stack, signal);
    return await directoryContext(root).readFile(path, signal);
  } catch (error) {
    if (kindOf(error) === 'not-found') return undefined;
    throw error;
  }
}

async function fetchFiles(
  { services, sessionOf, stack }: SessionFiles,
  name: string,
  { sources, ignore }: WantedFiles,
  told: Transfer,
  signal: AbortSignal,
): Promise<number> {
  const follow = (sources ?? []).map((source) => source.replace(/^\/+/, ''));
  const whole = sources === undefined || follow.some((source) => source === '' || source === '.');
  const session = await sessionOf(signal);
  const tar = clientFiles(session, { name, include: [], exclude: ignore, follow: whole ? [] : follow }, signal);
  return tarContext(services, counted(tar, told), stack, signal);
}

async function* counted(tar: AsyncIterable<Uint8Array>, told: Transfer): AsyncGenerator<Uint8Array> {
  for await (const chunk of tar) {
    told.bytes(chunk.length);
    yield chunk;
  }
}
