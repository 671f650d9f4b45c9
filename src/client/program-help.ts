/** Help of the program and of its groups of commands. */
import { PROGRAM } from './command.ts';
import { COMMANDS, GROUPS } from './command-table.ts';
import { flagUsage } from './flags/flag-usage.ts';
import type { FlagTable } from './flags/flag-spec.ts';

type Line = readonly [name: string, summary: string];

function block(title: string, lines: readonly Line[]): string {
  const width = Math.max(11, ...lines.map(([name]) => name.length)) + 1;
  return `${title}:\n${lines.map(([name, summary]) => `  ${name.padEnd(width)}${summary}`).join('\n')}`;
}

const byName = ([a]: Line, [b]: Line) => (a < b ? -1 : 1);

export function programHelp(globalFlags: FlagTable, columns?: number): string {
  const lines: Line[] = [];
  const common: Line[] = [];
  for (const entry of COMMANDS) {
    const name = entry.names.find((one) => !one.includes(' '));
    if (name !== undefined) (entry.common === true ? common : lines).push([name, entry.summary]);
  }
  const outside: Line[] = [
    ['daemon', 'Run the daemon in the foreground'],
    ['oci', 'Run OCI bundles without a daemon'],
    ['registry', 'Serve images to others'],
  ];
  return `${[
    `Usage:  ${PROGRAM} [OPTIONS] COMMAND`,
    'A container engine for Linux',
    block('Common Commands', common),
    block('Management Commands', Object.entries(GROUPS).sort(byName)),
    block('Commands', [...lines, ...outside].sort(byName)),
    `Global Options:\n${flagUsage(globalFlags, columns).trimEnd()}`,
    `Run '${PROGRAM} COMMAND --help' for more information on a command.`,
  ].join('\n\n')}\n`;
}

export function groupHelp(group: string): string {
  const lines: Line[] = [];
  for (const { names, summary, hidden } of COMMANDS) {
    if (hidden === true) continue;
    const name = names.find((one) => one.startsWith(`${group} `));
    if (name !== undefined) lines.push([name.slice(group.length + 1), summary]);
  }
  return `${[
    `Usage:  ${PROGRAM} ${group} COMMAND`,
    GROUPS[group] ?? '',
    block('Commands', lines.sort(byName)),
    `Run '${PROGRAM} ${group} COMMAND --help' for more information on a command.`,
  ].join('\n\n')}\n`;
}
