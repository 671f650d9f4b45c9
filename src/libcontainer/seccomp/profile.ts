/**
 * A seccomp profile as Docker and containers-common write it: rules with conditions on capabilities, architecture and
 * kernel. `decodeProfile` reads outside text; `resolveProfile` settles the conditions and gives the OCI form.
 */
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { Seccomp, SeccompArgument, SeccompRule } from '#libcontainer/spec.ts';

export interface ProfileConditions {
  readonly caps?: readonly string[];
  /** Go's names: amd64, x32, x86, arm64, arm … */
  readonly arches?: readonly string[];
  /** '4.8' */
  readonly minKernel?: string;
}

export interface ProfileRule extends SeccompRule {
  readonly includes?: ProfileConditions;
  readonly excludes?: ProfileConditions;
}

export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures?: readonly string[];
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly flags?: readonly string[];
  readonly listenerPath?: string;
  readonly listenerMetadata?: string;
  readonly syscalls?: readonly ProfileRule[];
}

export interface ProfileHost {
  /** Bounding set: 'CAP_CHOWN' … */
  readonly caps: readonly string[];
  readonly arch: 'amd64' | 'arm64';
  /** As uname says: '6.18.44-x'. */
  readonly kernel: string;
}

const NATIVE = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' } as const;

/** Settles every condition of `profile` for one host and set of capabilities. */
export function resolveProfile(profile: SeccompProfile, host: ProfileHost): Seccomp {
  const architectures = [...(profile.architectures ?? [])];
  for (const { architecture, subArchitectures } of profile.archMap ?? []) {
    if (architecture === NATIVE[host.arch]) architectures.push(architecture, ...subArchitectures);
  }
  const syscalls = (profile.syscalls ?? [])
    .filter((rule) => applies(rule, host))
    .map(({ names, action, errnoRet, args }): SeccompRule => {
      const errno = errnoRet === undefined ? {} : { errnoRet };
      return { names, action, ...errno, ...(args === undefined || args.length === 0 ? {} : { args }) };
    });
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet === undefined ? {} : { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(architectures.length === 0 ? {} : { architectures }),
    ...(profile.flags === undefined ? {} : { flags: profile.flags }),
    ...(profile.listenerPath === undefined ? {} : { listenerPath: profile.listenerPath }),
    ...(profile.listenerMetadata === undefined ? {} : { listenerMetadata: profile.listenerMetadata }),
    syscalls,
  };
}

function applies({ includes = {}, excludes = {} }: ProfileRule, host: ProfileHost): boolean {
  const { caps, arch, kernel } = host;
  if (includes.arches !== undefined && includes.arches.length > 0 && !includes.arches.includes(arch)) return false;
  if (!(includes.caps ?? []).every((cap) => caps.includes(cap))) return false;
  if (includes.minKernel && !kernelAtLeast(kernel, includes.minKernel)) return false;
  if ((excludes.arches ?? []).includes(arch)) return false;
  if ((excludes.caps ?? []).some((cap) => caps.includes(cap))) return false;
  return !(excludes.minKernel && kernelAtLeast(kernel, excludes.minKernel));
}

export function kernelAtLeast(kernel: string, wanted: string): boolean {
  const read = (text: string) => /^(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [0, 0];
  const [major = 0, minor = 0] = read(kernel);
  const [wantedMajor = 0, wantedMinor = 0] = read(wanted);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

const TEXT_MAX = 1 << 20;
const RULES_MAX = 10_000;
/** Kept as they are written: a JSON number is exact to 2^53 only, an argument has 64 bits. */
const ARGUMENT_VALUE = /("value(?:Two)?"\s*:\s*)(\d{16,20})(?=\s*[,}])/g;

/** Reads the text of a profile. Errors: invalid-parameter that names the key. */
export function decodeProfile(text: string): SeccompProfile {
  if (text.length > TEXT_MAX) throw invalidParameter('Cannot read seccomp profile: longer than 1 MiB');
  let json: unknown;
  try {
    json = JSON.parse(text.replaceAll(ARGUMENT_VALUE, '$1"$2"'));
  } catch (cause) {
    throw invalidParameter(`Cannot read seccomp profile: ${messageOf(cause)}`, { cause });
  }
  const profile = record(json, 'profile');
  const archMap = optional(profile, 'archMap', list(RULES_MAX, archOf));
  const architectures = optional(profile, 'architectures', strings);
  if ((archMap?.length ?? 0) > 0 && (architectures?.length ?? 0) > 0) {
    throw invalidParameter("Cannot read seccomp profile: use either 'architectures' or 'archMap'");
  }
  return {
    defaultAction: string(profile['defaultAction'], 'defaultAction'),
    ...present('defaultErrnoRet', optional(profile, 'defaultErrnoRet', integer)),
    ...present('architectures', architectures),
    ...present('archMap', archMap),
    ...present('flags', optional(profile, 'flags', strings)),
    ...present('listenerPath', optional(profile, 'listenerPath', string)),
    ...present('listenerMetadata', optional(profile, 'listenerMetadata', string)),
    ...present('syscalls', optional(profile, 'syscalls', list(RULES_MAX, ruleOf))),
  };
}

type Decoder<T> = (value: unknown, key: string) => T;

const bad = (key: string, want: string) => invalidParameter(`Cannot read seccomp profile: "${key}" is no ${want}`);

function record(value: unknown, key: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(key, 'object');
  return value as Readonly<Record<string, unknown>>; // checked on the line above
}

const string: Decoder<string> = (value, key) => {
  if (typeof value !== 'string') throw bad(key, 'string');
  return value;
};

const integer: Decoder<number> = (value, key) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) throw bad(key, 'whole number');
  return value;
};

const integer64: Decoder<number | bigint> = (value, key) => {
  if (typeof value !== 'string') return integer(value, key);
  const exact = BigInt(value);
  if (exact > 0xffff_ffff_ffff_ffffn) throw bad(key, 'number of 64 bits');
  return exact;
};

function list<T>(max: number, decode: Decoder<T>): Decoder<readonly T[]> {
  return (value, key) => {
    if (!Array.isArray(value) || value.length > max) throw bad(key, `list of up to ${max}`);
    return value.map((element: unknown, i) => decode(element, `${key}[${i}]`));
  };
}

const strings = list(RULES_MAX, string);

/** The value under `key`, decoded when it is there; `path` is where `from` lies. */
function optional<T>(
  from: Readonly<Record<string, unknown>>,
  key: string,
  decode: Decoder<T>,
  path?: string,
): T | undefined {
  const value = from[key];
  return value === undefined || value === null ? undefined : decode(value, path === undefined ? key : `${path}.${key}`);
}

function present<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  // The literal type of a computed key is lost by the compiler.
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

const archOf: Decoder<{ architecture: string; subArchitectures: readonly string[] }> = (value, key) => {
  const from = record(value, key);
  return {
    architecture: string(from['architecture'], `${key}.architecture`),
    subArchitectures: optional(from, 'subArchitectures', strings, key) ?? [],
  };
};

const conditionsOf: Decoder<ProfileConditions> = (value, key) => {
  const from = record(value, key);
  return {
    ...present('caps', optional(from, 'caps', strings, key)),
    ...present('arches', optional(from, 'arches', strings, key)),
    ...present('minKernel', optional(from, 'minKernel', string, key)),
  };
};

const argumentOf: Decoder<SeccompArgument> = (value, key) => {
  const from = record(value, key);
  return {
    index: integer(from['index'], `${key}.index`),
    value: integer64(from['value'] ?? 0, `${key}.value`),
    valueTwo: integer64(from['valueTwo'] ?? 0, `${key}.valueTwo`),
    op: string(from['op'], `${key}.op`),
  };
};

const ruleOf: Decoder<ProfileRule> = (value, key) => {
  const from = record(value, key);
  const name = optional(from, 'name', string, key);
  const names = optional(from, 'names', strings, key);
  if (name && names !== undefined && names.length > 0) {
    throw invalidParameter(`Cannot read seccomp profile: use either 'name' or 'names' in "${key}"`);
  }
  return {
    names: name ? [name] : (names ?? []),
    action: string(from['action'], `${key}.action`),
    ...present('errnoRet', optional(from, 'errnoRet', integer, key)),
    ...present('args', optional(from, 'args', list(100, argumentOf), key)),
    ...present('includes', optional(from, 'includes', conditionsOf, key)),
    ...present('excludes', optional(from, 'excludes', conditionsOf, key)),
  };
};
