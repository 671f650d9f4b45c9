/** HTTP statuses: the only place that knows which kind of failure has which status. */
import type { ErrorKind } from '#errdefs/errors.ts';

export const statusOfKind: Readonly<Record<ErrorKind, number>> = {
  'invalid-parameter': 400,
  'not-found': 404,
  conflict: 409,
  unauthorized: 401,
  forbidden: 403,
  'not-modified': 304,
  'not-implemented': 501,
  unavailable: 503,
  'data-loss': 500,
  cancelled: 500,
  'deadline-exceeded': 500,
  system: 500,
};

/** The statuses that we send. (node:http has a table too, but costs 11 ms to import.) */
const reasons: ReadonlyMap<number, string> = new Map([
  [101, 'UPGRADED'],
  [200, 'OK'],
  [201, 'Created'],
  [204, 'No Content'],
  [304, 'Not Modified'],
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [409, 'Conflict'],
  [413, 'Request Entity Too Large'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
  [501, 'Not Implemented'],
  [503, 'Service Unavailable'],
  [505, 'HTTP Version Not Supported'],
]);

export function reasonOf(status: number): string {
  return reasons.get(status) ?? 'Unknown';
}
