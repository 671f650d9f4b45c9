/** The key `log-archive`: how much of the logs of removed containers is kept, and for how long. Berth's own. */
import { invalidParameter } from '#errdefs/errors.ts';
import { parseBytes } from '#pkg/units/size.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import type { ConfigValue } from './values.ts';

export interface LogArchiveBudget {
  /** 0: nothing is kept. */
  readonly sizeBytesMax: number;
  readonly ageMsMax: number;
}

const DEFAULT_SIZE_BYTES = 64 * 1024 * 1024;
const DAY_MS = 24 * 3_600_000;
const DEFAULT_AGE_MS = 7 * DAY_MS;
const NANOSECONDS_PER_MS = 1_000_000n;

/** Errors: invalid-parameter. */
export function logArchiveOf(value: ConfigValue | undefined): LogArchiveBudget {
  const given = typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
  let sizeBytesMax = DEFAULT_SIZE_BYTES;
  let ageMsMax = DEFAULT_AGE_MS;
  for (const [name, text] of given) {
    const refuse = (cause?: unknown) =>
      invalidParameter(`invalid value for "log-archive": ${name}: ${JSON.stringify(text)}`, { cause });
    try {
      if (name === 'max-size') sizeBytesMax = parseBytes(String(text));
      else if (name === 'max-age') ageMsMax = Number(parseDuration(String(text)) / NANOSECONDS_PER_MS);
      else throw new TypeError('there is no such option');
    } catch (cause) {
      throw refuse(cause);
    }
    if (sizeBytesMax < 0 || ageMsMax < 0) throw refuse();
  }
  return { sizeBytesMax, ageMsMax };
}
