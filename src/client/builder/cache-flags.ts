/** `--cache-from`, `--cache-to`, `--attest` and their short forms as the daemon is asked for them. */
import * as path from 'node:path';
import { csvFields, csvOf } from '#pkg/csv/csv.ts';
import { type CommandContext, UsageError } from '../command.ts';
import type { BuildValues } from './build-flags.ts';

/** Directories are the daemon's, by their whole path. Errors: UsageError when it is on another host. */
export function cacheOptions(context: CommandContext, options: readonly string[], name: 'src' | 'dest'): string[] {
  return options.map((option) => {
    const fields = csvFields(option);
    if (!fields.includes('type=local')) return option;
    if (context.client().address.kind !== 'unix') {
      throw new UsageError('a cache of type=local needs a daemon on this host: use type=registry');
    }
    return csvOf(
      fields.map((field) => {
        const [key = '', value = ''] = field.split(/=(.*)/s);
        return key === name ? `${name}=${path.resolve(value)}` : field;
      }),
    );
  });
}

/** `--provenance=mode=max` is `--attest=type=provenance,mode=max`; off unless it is asked for. */
export function attestOptions({ attest, provenance, sbom }: BuildValues): string[] {
  return [...attest, ...shortForm('provenance', provenance), ...shortForm('sbom', sbom)];
}

function shortForm(type: string, value: string): string[] {
  if (value === '') return [];
  if (/^(?:1|t|true)$/i.test(value)) return [`type=${type}`];
  if (/^(?:0|f|false)$/i.test(value)) return [`type=${type},disabled=true`];
  return [`type=${type},${value}`];
}
