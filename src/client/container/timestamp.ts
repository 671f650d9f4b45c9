/** `--since` and `--until`: relative times are this machine's, so they are made absolute before they are sent. */
import { messageOf } from '#errdefs/errors.ts';
import { parseTimestamp } from '#pkg/units/duration.ts';
import { ExitError } from '../command.ts';

const NANOSECONDS = 1_000_000_000n;

/** `seconds.nanoseconds`; empty stays empty. `flag`: named in the complaint, if docker's command does. */
export function timestampOf(flag: string | undefined, text: string, now: Date): string {
  if (text === '') return '';
  try {
    const at = parseTimestamp(text, now);
    return `${at / NANOSECONDS}.${String(at % NANOSECONDS).padStart(9, '0')}`;
  } catch (error) {
    throw new ExitError(1, `${flag === undefined ? '' : `invalid value for "${flag}": `}${messageOf(error)}`);
  }
}
