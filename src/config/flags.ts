/** The command line of `berth daemon`: dockerd's flag names and grammar (`--a=b`, `--a b`, `-Hx`, `-H x`, `-D`). */
import { invalidParameter } from '#errdefs/errors.ts';
import { type KeySpec, keySpecs } from './keys.ts';
import { addFlagValue, type ConfigValue } from './values.ts';

export interface DaemonCommandLine {
  /** By key of the file, not by flag name. */
  readonly values: ReadonlyMap<string, ConfigValue>;
  /** undefined: the default path, which may be missing. */
  readonly configFile: string | undefined;
  readonly validate: boolean;
  /** Ask the running daemon to stop all containers because the system goes down. */
  readonly stopContainers: boolean;
  readonly help: boolean;
  readonly version: boolean;
}

/** Flags that are no keys. */
export const plainFlags = [
  {
    flag: 'config-file',
    short: undefined,
    takesValue: true,
    usage: 'Configuration file (default "/etc/berth/daemon.json")',
  },
  { flag: 'validate', short: undefined, takesValue: false, usage: 'Validate the configuration and exit' },
  {
    flag: 'stop-containers',
    short: undefined,
    takesValue: false,
    usage: 'Have the running daemon stop all containers: the system goes down',
  },
  { flag: 'help', short: 'h', takesValue: false, usage: 'Print usage' },
  { flag: 'version', short: 'v', takesValue: false, usage: 'Print version information and quit' },
] as const;

type PlainName = (typeof plainFlags)[number]['flag'];

interface Parsed {
  values: Map<string, ConfigValue>;
  plain: Map<PlainName, string>;
}

/** Errors: invalid-parameter naming the flag. */
export function parseDaemonFlags(argv: readonly string[]): DaemonCommandLine {
  const parsed: Parsed = { values: new Map(), plain: new Map() };
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word.startsWith('--') && word.length > 2) i += long(parsed, word.slice(2), argv[i + 1]);
    else if (word.startsWith('-') && word.length > 1) i += short(parsed, word.slice(1), argv[i + 1]);
    else throw invalidParameter(`berth daemon: accepts no arguments, got "${word}"`);
  }
  const isSet = (name: PlainName) => parsed.plain.has(name) && parsed.plain.get(name) !== 'false';
  return {
    values: parsed.values,
    configFile: parsed.plain.get('config-file'),
    validate: isSet('validate'),
    stopContainers: isSet('stop-containers'),
    help: isSet('help'),
    version: isSet('version'),
  };
}

/** Returns how many further words it took. */
function long(parsed: Parsed, word: string, next: string | undefined): number {
  const at = word.indexOf('=');
  const name = at < 0 ? word : word.slice(0, at);
  const given = at < 0 ? undefined : word.slice(at + 1);
  const plain = plainFlags.find((f) => f.flag === name);
  if (plain !== undefined) {
    if (given === undefined && plain.takesValue)
      return takeNext(next, `--${name}`, (v) => parsed.plain.set(plain.flag, v));
    parsed.plain.set(plain.flag, given ?? 'true');
    return 0;
  }
  const spec = keySpecs.find((s) => s.flag === name);
  if (spec === undefined) throw invalidParameter(`unknown flag: --${name}`);
  if (given === undefined && spec.type !== 'flag') {
    return takeNext(next, `--${name}`, (value) => set(parsed, spec, value));
  }
  set(parsed, spec, given ?? 'true');
  return 0;
}

function short(parsed: Parsed, letters: string, next: string | undefined): number {
  for (let i = 0; i < letters.length; i++) {
    const letter = letters[i] ?? '';
    const plain = plainFlags.find((f) => f.short === letter);
    const spec = keySpecs.find((s) => s.short === letter);
    if (plain !== undefined) {
      parsed.plain.set(plain.flag, 'true');
    } else if (spec === undefined) {
      throw invalidParameter(`unknown shorthand flag: '${letter}' in -${letters}`);
    } else if (spec.type === 'flag') {
      set(parsed, spec, 'true');
    } else {
      const rest = letters.slice(i + 1).replace(/^=/, '');
      if (rest === '') return takeNext(next, `-${letter}`, (value) => set(parsed, spec, value));
      set(parsed, spec, rest);
      return 0;
    }
  }
  return 0;
}

function takeNext(next: string | undefined, flag: string, use: (value: string) => void): number {
  if (next === undefined) throw invalidParameter(`flag needs an argument: ${flag}`);
  use(next);
  return 1;
}

function set(parsed: Parsed, spec: KeySpec, text: string): void {
  parsed.values.set(spec.key, addFlagValue(spec, parsed.values.get(spec.key), text));
}

/** The help text. */
export function daemonUsage(): string {
  const lines: string[] = [];
  for (const spec of keySpecs) {
    if (spec.flag === undefined || spec.treatment.kind === 'not-yet') continue;
    const value =
      spec.type === 'flag' ? '' : ` ${spec.type === 'texts' ? 'list' : spec.type === 'text-map' ? 'map' : spec.type}`;
    const note = spec.treatment.kind === 'no-effect' ? `no effect: ${spec.treatment.reason}` : '';
    lines.push(usageLine(spec.flag, spec.short, value, note));
  }
  for (const plain of plainFlags)
    lines.push(usageLine(plain.flag, plain.short, plain.takesValue ? ' text' : '', plain.usage));
  return `Usage:  berth daemon [OPTIONS]\n\nA container engine.\n\nOptions:\n${lines.sort().join('\n')}\n`;
}

function usageLine(flag: string, short: string | undefined, value: string, note: string): string {
  const head = `  ${short === undefined ? '   ' : `-${short},`} --${flag}${value}`;
  return note === '' ? head : `${head.padEnd(42)} ${note}`;
}
