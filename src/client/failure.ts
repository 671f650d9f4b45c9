/** A failure in the words for a terminal. */
import { ApiError, ConnectionError } from '#api/client/api-error.ts';

/** In the middle of an answer, as the runtime says it. */
function isBrokenOff(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ['ECONNRESET', 'ConnectionClosed'].includes(String(error.code));
}

/** What the daemon answered is marked as such. */
export function describeFailure(error: unknown): string {
  if (error instanceof ApiError) return `Error response from daemon: ${error.message}`;
  if (error instanceof ConnectionError && error.advice !== '') return `${error.message}\n${error.advice}`;
  if (isBrokenOff(error)) {
    return 'unexpected EOF: the daemon closed the connection before its answer was complete\nContainers go on without it; `berth info` tells whether it is there again.';
  }
  return error instanceof Error ? error.message : String(error);
}
