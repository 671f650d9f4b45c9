/** Flags that many commands share, each with one wording. */
import type { CommandContext } from './command.ts';
import { textOf } from './config-file/config-file.ts';
import { checkFilter } from './filters.ts';
import { flag, list, text } from './flags/flag-spec.ts';

export const formatFlag = (shorthand = '') =>
  text(
    `Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template`,
    { shorthand },
  );

export const inspectFormatFlag = () =>
  text(
    `Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template`,
    { shorthand: 'f' },
  );

export const filterFlag = () =>
  list('Filter output based on conditions provided', { shorthand: 'f', typeName: 'filter', check: checkFilter });

export const quietFlag = (what: string) => flag(what, { shorthand: 'q' });

export const noTruncFlag = () => flag("Don't truncate output");

/** A listing's format: the flag's, else the configuration file's (`psFormat` …), which `--quiet` does without. */
export function formatOr(
  context: CommandContext,
  values: { readonly format: string; readonly quiet?: boolean },
  key: string,
): { readonly format: string; readonly quiet: boolean } {
  const { format, quiet = false } = values;
  return { quiet, format: format === '' && !quiet ? textOf(context.config(), key) : format };
}

/** The flag's keys, else the configuration file's. */
export function detachKeysOf(context: CommandContext, values: { readonly 'detach-keys': string }): string {
  return values['detach-keys'] === '' ? textOf(context.config(), 'detachKeys') : values['detach-keys'];
}

/** Scripts still give it; docker's client accepts it without effect as well. */
export const contentTrustFlag = () => flag('Skip image verification', { initial: true, hidden: true });

export const detachKeysFlag = () => text('Override the key sequence for detaching a container');
