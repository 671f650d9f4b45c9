/**
 * What may stand at the end of a command line: commands, flags and live names, from the same tables that run and explain
 * commands. Asked by the shell at each Tab, so it loads one command's file and asks the daemon one question at most.
 */
import type { Command, CommandTable, Found } from '../command.ts';
import type { FlagTable } from '../flags/flag-spec.ts';
import { GLOBAL_FLAGS } from '../global-flags.ts';
import { flagValueKind, operandKind, type Kind } from './kinds.ts';

export interface Candidate {
  readonly value: string;
  /** Shown beside it by shells that can. */
  readonly description: string;
}

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** The shell may offer names of files. */
  readonly files: boolean;
}

/** The live names of a kind that begin with `prefix`; none when the daemon cannot be asked. */
export type LookUp = (kind: Kind, prefix: string) => Promise<readonly Candidate[]>;

const NONE: Completion = { candidates: [], files: false };

/** `words`: all after the program, the last one being typed. `plugins`: commands that are programs of their own. */
export async function complete(
  table: CommandTable,
  words: readonly string[],
  lookUp: LookUp,
  plugins: readonly string[],
): Promise<Completion> {
  const typed = words.at(-1) ?? '';
  const before = skipGlobals(words.slice(0, -1));
  if (before.value !== undefined) return valueOf(before.value, typed, '', lookUp);
  const [first] = before.words;
  if (first === undefined)
    return typed.startsWith('-')
      ? flags(GLOBAL_FLAGS, typed)
      : { ...NONE, candidates: commands(table, typed, plugins) };
  const line = first === 'help' ? before.words.slice(1) : before.words;
  const found = table.find(line);
  if (found === undefined || first === 'help') {
    const group =
      line.length === 0
        ? commands(table, typed, plugins)
        : line.length === 1
          ? subcommands(table, line[0] ?? '', typed)
          : [];
    return { ...NONE, candidates: group };
  }
  return within(found, await found.entry.load(), typed, lookUp);
}

/** The words behind the program's own flags; `value`: a flag that waits for its value. */
function skipGlobals(words: readonly string[]): { readonly words: readonly string[]; readonly value?: string } {
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (!word.startsWith('-')) return { words: words.slice(i) };
    const name = waitsForValue(GLOBAL_FLAGS, word);
    if (name === undefined) continue;
    if (i === words.length - 1) return { words: [], value: name };
    i++;
  }
  return { words: [] };
}

function commands(table: CommandTable, typed: string, plugins: readonly string[]): Candidate[] {
  const all = new Map<string, string>(plugins.map((name) => [name, 'Plugin']));
  for (const [name, summary] of Object.entries(table.groups)) all.set(name, summary);
  for (const { names, summary, hidden } of table.entries) {
    for (const name of names) if (!name.includes(' ') && hidden !== true) all.set(name, summary);
  }
  all.set('daemon', 'Run the daemon in the foreground').set('oci', 'Run OCI bundles without a daemon');
  return matching(all, typed);
}

function subcommands(table: CommandTable, group: string, typed: string): Candidate[] {
  const all = new Map<string, string>();
  for (const { names, summary, hidden } of table.entries) {
    const own = names.find((name) => name.startsWith(`${group} `));
    if (own !== undefined && hidden !== true) all.set(own.slice(group.length + 1), summary);
  }
  return matching(all, typed);
}

function matching(all: ReadonlyMap<string, string>, typed: string): Candidate[] {
  return [...all]
    .filter(([value]) => value.startsWith(typed))
    .map(([value, description]) => ({ value, description }))
    .sort((a, b) => (a.value < b.value ? -1 : 1));
}

async function within(found: Found, command: Command, typed: string, lookUp: LookUp): Promise<Completion> {
  let operands = 0;
  let ended = false;
  for (let i = 0; i < found.rest.length; i++) {
    const word = found.rest[i] ?? '';
    if (ended || !word.startsWith('-') || word === '-') {
      operands++;
      if (!command.interspersed) ended = true;
    } else if (word === '--') ended = true;
    else {
      const name = waitsForValue(command.flags, word);
      if (name === undefined) continue;
      if (i === found.rest.length - 1) return valueOf(name, typed, '', lookUp);
      i++;
    }
  }
  if (!ended && typed.startsWith('-')) {
    const at = typed.indexOf('=');
    if (at < 0 || !typed.startsWith('--')) return flags(command.flags, typed);
    return valueOf(typed.slice(2, at), typed.slice(at + 1), typed.slice(0, at + 1), lookUp);
  }
  return ofKind(operandKind(found.path, command.operands, operands), typed, '', lookUp);
}

/** The long name of the flag that takes the next word. */
function waitsForValue(table: FlagTable, word: string): string | undefined {
  if (word.startsWith('--')) {
    const name = word.slice(2);
    const spec = Object.hasOwn(table, name) ? table[name] : undefined;
    return spec === undefined || spec.standsAlone ? undefined : name;
  }
  const letters = Array.from(word.slice(1));
  for (const [i, letter] of letters.entries()) {
    const entry = Object.entries(table).find(([, spec]) => spec.shorthand === letter);
    if (entry === undefined) return undefined;
    if (!entry[1].standsAlone) return i === letters.length - 1 ? entry[0] : undefined;
  }
  return undefined;
}

function flags(table: FlagTable, typed: string): Completion {
  const all = new Map<string, string>([['--help', 'Print usage']]);
  for (const [name, spec] of Object.entries(table)) {
    if (!spec.hidden) all.set(`--${name}`, spec.help.split('\n')[0] ?? '');
  }
  return { ...NONE, candidates: matching(all, typed) };
}

function valueOf(flagName: string, typed: string, lead: string, lookUp: LookUp): Promise<Completion> {
  return ofKind(flagValueKind(flagName), typed, lead, lookUp);
}

async function ofKind(
  kind: Kind | readonly string[],
  typed: string,
  lead: string,
  lookUp: LookUp,
): Promise<Completion> {
  if (kind === 'none') return NONE;
  if (kind === 'files') return { ...NONE, files: true };
  const found =
    typeof kind === 'string' ? await lookUp(kind, typed) : matching(new Map(kind.map((value) => [value, ''])), typed);
  const candidates = found.map(({ value, description }) => ({ value: lead + value, description }));
  return { candidates, files: kind === 'container-path' || kind === 'volume-or-path' };
}
