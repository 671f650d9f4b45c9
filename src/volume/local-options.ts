/**
 * Options of the local driver (`type`, `o`, `device`, `size`), checked in dockerd's words, and what they mean for
 * mount(2).
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { MS } from '#sys/numbers.ts';
import { parseBytes } from '#pkg/units/size.ts';

export type DriverOptions = Readonly<Record<string, string>>;

export interface LocalMount {
  readonly source: string;
  readonly type: string;
  readonly flags: number;
  readonly data: string;
}

const known = ['type', 'o', 'device', 'size'];
const needs: Readonly<Record<string, readonly string[]>> = {
  device: ['type'],
  type: ['device'],
  o: ['device', 'type'],
};

const flags: Readonly<Record<string, readonly [bit: number, clear?: true]>> = {
  defaults: [0],
  ro: [MS.RDONLY],
  rw: [MS.RDONLY, true],
  suid: [MS.NOSUID, true],
  nosuid: [MS.NOSUID],
  dev: [MS.NODEV, true],
  nodev: [MS.NODEV],
  exec: [MS.NOEXEC, true],
  noexec: [MS.NOEXEC],
  sync: [MS.SYNCHRONOUS],
  async: [MS.SYNCHRONOUS, true],
  dirsync: [MS.DIRSYNC],
  remount: [MS.REMOUNT],
  mand: [MS.MANDLOCK],
  nomand: [MS.MANDLOCK, true],
  atime: [MS.NOATIME, true],
  noatime: [MS.NOATIME],
  diratime: [MS.NODIRATIME, true],
  nodiratime: [MS.NODIRATIME],
  bind: [MS.BIND],
  rbind: [MS.BIND | MS.REC],
  relatime: [MS.RELATIME],
  norelatime: [MS.RELATIME, true],
  strictatime: [MS.STRICTATIME],
  nostrictatime: [MS.STRICTATIME, true],
  // Propagation is ours to say: the mount stays private.
  private: [0],
  rprivate: [0],
};
const refused = ['remount', 'shared', 'rshared', 'slave', 'rslave', 'unbindable', 'runbindable'];
const UNITLESS_MIN = 1;

/** Errors: invalid-parameter. An empty set of options is a plain directory. */
export function checkLocalOptions(name: string, options: DriverOptions): void {
  const wrong = (why: string): Error => invalidParameter(`create ${name}: ${why}`);
  for (const key of Object.keys(options)) if (!known.includes(key)) throw wrong(`invalid option: "${key}"`);
  for (const [key, others] of Object.entries(needs)) {
    if (options[key] === undefined || options[key] === '') continue;
    for (const other of others) {
      if ((options[other] ?? '') === '') throw wrong(`missing required option: "${other}"`);
    }
  }
  for (const option of (options['o'] ?? '').split(',')) {
    if (refused.includes(option)) throw wrong(`invalid mount option: "${option}" means nothing for a volume`);
  }
  if (options['size'] !== undefined) sizeOf(name, options);
}

/** Bytes of `size=`; undefined when it was not given. Errors: invalid-parameter. */
export function sizeOf(name: string, options: DriverOptions): number | undefined {
  const text = options['size'];
  if (text === undefined) return undefined;
  let bytes: number;
  try {
    bytes = parseBytes(text);
  } catch (cause) {
    throw invalidParameter(`create ${name}: invalid size: '${text}'`, { cause });
  }
  if (bytes < UNITLESS_MIN) throw invalidParameter(`create ${name}: invalid size: '${text}'`);
  return bytes;
}

/** What is to be mounted; undefined for a plain directory. */
export function localMountOf(options: DriverOptions): LocalMount | undefined {
  const { type = '', device = '', o = '' } = options as { type?: string; device?: string; o?: string };
  if (type === '' || device === '') return undefined;
  let bits = 0;
  const data: string[] = [];
  for (const option of o.split(',')) {
    if (option === '') continue;
    const flag = Object.hasOwn(flags, option) ? flags[option] : undefined;
    if (flag === undefined) data.push(option);
    else if (flag[1] === true) bits &= ~flag[0];
    else bits |= flag[0];
  }
  // type=none with o=bind is the usual spelling; type=bind is understood as well.
  if (type === 'bind') bits |= MS.BIND;
  return { source: device, type, flags: bits, data: data.join(',') };
}

/** dockerd's description of a mount, for its messages. */
export function describeMount(mount: LocalMount, target: string): string {
  const parts = [`mount ${mount.source}:${target}`];
  if (mount.flags !== 0) parts.push(`flags: 0x${mount.flags.toString(16)}`);
  if (mount.data !== '') parts.push(`data: ${mount.data}`);
  return parts.join(', ');
}

/** File systems that answer at once; everything else may wait for a disk or a server. */
export function answersAtOnce(mount: LocalMount): boolean {
  return (mount.flags & MS.BIND) !== 0 || ['tmpfs', 'ramfs', 'overlay'].includes(mount.type);
}
