/**
 * AppArmor: is it there, which profiles are loaded, and loading ours. The parser is a program of the host; whoever calls
 * gives the means to run it. Its output is kept by digest of text and parser, since it takes a second on a small
 * machine and loading the binary takes none. Labels are set by steps of the start: open `attr/apparmor/exec` of the
 * thread's own /proc directory and write `execLabel`.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { messageOf, notFound, systemError } from '#errdefs/errors.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { DEFAULT_PROFILE, defaultProfileText } from './profile.ts';

const SECURITYFS = '/sys/kernel/security/apparmor';
const CONFIGURATION = '/etc/apparmor.d';
const PARSERS = ['/sbin/apparmor_parser', '/usr/sbin/apparmor_parser'];

/** The arguments that make the parser print the binary form and load nothing. */
const PARSER_ARGUMENTS = ['-S', '-Q', '-K'];

export interface ApparmorHost {
  /** The kernel enforces AppArmor and lets us see it. */
  readonly enabled: boolean;
  /** Path of apparmor_parser. */
  readonly parser: string | undefined;
}

export function detectApparmor(): ApparmorHost {
  const enabled =
    textOf('/sys/module/apparmor/parameters/enabled')?.startsWith('Y') === true && existsSync(`${SECURITYFS}/profiles`);
  return { enabled, parser: PARSERS.find((path) => existsSync(path)) };
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // absent, or not ours to read: there is no AppArmor for us
  }
}

/** Names of the loaded profiles, from the text of /sys/kernel/security/apparmor/profiles. */
export function profileNames(text: string): ReadonlySet<string> {
  return new Set(text.split('\n').flatMap((line) => /^(.*) \(\w+\)$/.exec(line)?.[1] ?? []));
}

export function isProfileLoaded(name: string): boolean {
  return profileNames(textOf(`${SECURITYFS}/profiles`) ?? '').has(name);
}

export interface LoadRequest {
  readonly host: ApparmorHost;
  /** Where the parser's output is kept. */
  readonly cacheDirectory: string;
  /** Runs the parser with `input` on its stdin; its stdout. */
  readonly run: (program: string, args: readonly string[], input: string) => Promise<Uint8Array>;
}

/**
 * Loads berth-default when it is missing. Undefined: it is there. A reason why containers go without a label: the host
 * has no AppArmor, or no parser. Errors: system when the parser or the kernel refuses.
 */
export async function ensureDefaultProfile({ host, cacheDirectory, run }: LoadRequest): Promise<string | undefined> {
  if (!host.enabled) return 'this host has no AppArmor';
  if (isProfileLoaded(DEFAULT_PROFILE)) return undefined;
  if (host.parser === undefined) return 'apparmor_parser is not installed';
  const daemonLabel = /^(.*?)(?: \(\w+\))?\s*$/.exec(textOf('/proc/self/attr/current') ?? '')?.[1] || 'unconfined';
  const text = defaultProfileText({ daemonLabel, has: (name) => existsSync(`${CONFIGURATION}/${name}`) });
  load(await binaryOf({ text, parser: host.parser, cacheDirectory, run }));
  if (!isProfileLoaded(DEFAULT_PROFILE)) throw systemError(`Cannot load AppArmor profile "${DEFAULT_PROFILE}"`);
  return undefined;
}

interface BinaryRequest extends Omit<LoadRequest, 'host'> {
  readonly text: string;
  readonly parser: string;
}

/** The profile in the kernel's form, from the cache or the parser. */
export async function binaryOf({ text, parser, cacheDirectory, run }: BinaryRequest): Promise<Uint8Array> {
  // Another parser or kernel makes another binary.
  const parserStat = statSync(parser);
  const features = textOf(`${SECURITYFS}/features/policy/versions/v8`) ?? '';
  const digest = createHash('sha256')
    .update(JSON.stringify([text, parser, parserStat.size, parserStat.mtimeMs, features, textOf('/proc/version')]))
    .digest('hex');
  const cached = `${cacheDirectory}/${digest}`;
  if (existsSync(cached)) return readFileSync(cached);
  const binary = await run(parser, PARSER_ARGUMENTS, text);
  if (binary.length === 0) throw systemError(`Cannot compile AppArmor profile "${DEFAULT_PROFILE}": no output`);
  mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
  writeFileAtomic(cached, binary, { mode: 0o600, durable: false });
  return binary;
}

/** `.replace` takes the whole binary in one write and also loads what is new. */
function load(binary: Uint8Array): void {
  const fd = openSync(`${SECURITYFS}/.replace`, 'w');
  try {
    writeSync(fd, binary);
  } catch (cause) {
    throw systemError(`Cannot load AppArmor profile "${DEFAULT_PROFILE}": ${messageOf(cause)}`, { cause });
  } finally {
    closeSync(fd);
  }
}

/**
 * What a start writes to its own `attr/apparmor/exec` for the profile of a spec; undefined: no label ('' or 'unconfined').
 * Errors: not-found when the profile is not loaded or the host has no AppArmor.
 */
export function execLabel(profile: string, host: ApparmorHost): string | undefined {
  if (profile === '' || profile === 'unconfined') return undefined;
  if (!host.enabled) throw notFound(`Cannot use AppArmor profile "${profile}": this host has no AppArmor`);
  if (!isProfileLoaded(profile)) throw notFound(`Cannot use AppArmor profile "${profile}": it is not loaded`);
  return `exec ${profile}`;
}
