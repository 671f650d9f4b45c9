/** What stopped a build, as its error. */
import { cancelled } from '#errdefs/errors.ts';

export function throwIfAborted(signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw signal.reason instanceof Error ? signal.reason : cancelled('the build was cancelled');
}
