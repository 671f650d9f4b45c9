/** A failure in the words for a terminal. */
import { ApiError } from '#api/client/api-error.ts';

/** What the daemon answered is marked as such. */
export function describeFailure(error: unknown): string {
  if (error instanceof ApiError) return `Error response from daemon: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
