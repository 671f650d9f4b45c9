/** Options of the journald driver, in dockerd's words. */
import { existsSync } from 'node:fs';
import { invalidParameter, unavailable } from '#errdefs/errors.ts';
import type { LogOptions } from '../option-values.ts';
import { attributeOptions, checkAttributeOptions } from '../subject.ts';

export interface JournaldSettings {
  readonly driver: 'journald';
  readonly socket: string;
}

const JOURNAL_SOCKET = '/run/systemd/journal/socket';
const known = new Set<string>(['tag', ...attributeOptions]);

/** Errors: invalid-parameter. */
export function journaldSettings(options: LogOptions): JournaldSettings {
  for (const name of Object.keys(options)) {
    if (!known.has(name)) throw invalidParameter(`unknown log opt '${name}' for journald log driver`);
  }
  checkAttributeOptions(options);
  return { driver: 'journald', socket: JOURNAL_SOCKET };
}

/** Errors: unavailable where there is no journal. */
export function checkJournal(): void {
  if (!existsSync(JOURNAL_SOCKET)) throw unavailable('journald is not enabled on this host');
}
