/** Contexts that come in a request of their own: it is held open until its build has taken them. */
import { cancelled, conflict, notFound } from '#errdefs/errors.ts';
import type { Arrivals } from '#pkg/arrivals/arrivals.ts';

export interface Upload {
  readonly tar: AsyncIterable<Uint8Array>;
  /** The tar was read, or will not be. */
  readonly taken: (error?: unknown) => void;
}

/** How long either of the two requests waits for the other. */
const WAIT_MS = 5_000;

/** Settles when the build has the tar. Errors: conflict; not-found when no build comes for it; cancelled. */
export async function offerUpload(
  uploads: Arrivals<Upload>,
  build: string,
  tar: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  if (uploads.has(build)) throw conflict(`build ${build} has its upload already`);
  const taken = Promise.withResolvers<void>();
  const abort = () => taken.reject(cancelled('the upload was cancelled'));
  signal.addEventListener('abort', abort);
  const timer = setTimeout(() => taken.reject(notFound(`no build ${build} came for its upload`)), WAIT_MS);
  const upload: Upload = {
    tar: (async function* () {
      // Somebody reads it: from now on it takes as long as it takes.
      clearTimeout(timer);
      yield* tar;
    })(),
    taken: (error) => (error === undefined ? taken.resolve() : taken.reject(error)),
  };
  uploads.put(build, upload);
  try {
    await taken.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    uploads.delete(build, upload);
  }
}

/** Gives the tar to `take`. Errors: not-found when it does not come; those of `take`. */
export async function takeUpload<T>(
  uploads: Arrivals<Upload>,
  build: string,
  take: (tar: AsyncIterable<Uint8Array>) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const missing = notFound(`the context of build ${build} was not uploaded`);
  const upload = await uploads.get(build, { signal, waitMs: WAIT_MS, missing });
  try {
    const result = await take(upload.tar);
    upload.taken();
    return result;
  } catch (error) {
    upload.taken(error);
    throw error;
  }
}
