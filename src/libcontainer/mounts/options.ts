/**
 * Mount options as /etc/fstab, OCI bundles and Docker spell them → attributes of mount_setattr(2), propagation, and what
 * is left for the file system itself. An option that means nothing to us is an error by name, never dropped.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { MOUNT_ATTR, MS } from '#sys/numbers.ts';

/** What mount_setattr is asked for: `clear` first, then `set`. */
export interface AttributeChange {
  readonly set: number;
  readonly clear: number;
}

export interface MountOptions {
  readonly bind: boolean;
  /** With `bind`: the mounts below the source come along. */
  readonly recursive: boolean;
  /** Of the mount itself. */
  readonly attributes: AttributeChange;
  /** Of the mount and all below it (`rro`, `rnosuid` …). */
  readonly recursiveAttributes: AttributeChange;
  /** MS.PRIVATE, SLAVE, SHARED or UNBINDABLE. */
  readonly propagation: number | undefined;
  readonly propagationRecursive: boolean;
  /** The mount gets maps of ids: those of the specification, else the container's. */
  readonly idmap: 'none' | 'own' | 'recursive';
  /** For the file system: [key] a flag, [key, value] a setting. */
  readonly parameters: readonly (readonly [key: string, value?: string])[];
}

type Change = readonly [attribute: number, on: boolean];

const attributes: Readonly<Record<string, Change>> = {
  ro: [MOUNT_ATTR.RDONLY, true],
  rw: [MOUNT_ATTR.RDONLY, false],
  nosuid: [MOUNT_ATTR.NOSUID, true],
  suid: [MOUNT_ATTR.NOSUID, false],
  nodev: [MOUNT_ATTR.NODEV, true],
  dev: [MOUNT_ATTR.NODEV, false],
  noexec: [MOUNT_ATTR.NOEXEC, true],
  exec: [MOUNT_ATTR.NOEXEC, false],
  nodiratime: [MOUNT_ATTR.NODIRATIME, true],
  diratime: [MOUNT_ATTR.NODIRATIME, false],
  nosymfollow: [MOUNT_ATTR.NOSYMFOLLOW, true],
  symfollow: [MOUNT_ATTR.NOSYMFOLLOW, false],
};

// The access time is one field of three values, so setting one of them clears the others.
const accessTimes: Readonly<Record<string, number>> = {
  noatime: MOUNT_ATTR.NOATIME,
  atime: MOUNT_ATTR.RELATIME,
  relatime: MOUNT_ATTR.RELATIME,
  norelatime: MOUNT_ATTR.RELATIME,
  strictatime: MOUNT_ATTR.STRICTATIME,
  nostrictatime: MOUNT_ATTR.RELATIME,
};

const propagations: Readonly<Record<string, number>> = {
  private: MS.PRIVATE,
  slave: MS.SLAVE,
  shared: MS.SHARED,
  unbindable: MS.UNBINDABLE,
};

const superblockFlags = ['sync', 'dirsync', 'mand', 'lazytime'];
const nothing = ['defaults', 'async', 'nomand', 'loud', 'silent', 'nolazytime', 'noiversion', ''];
const refused = ['remount', 'tmpcopyup', 'move'];

/** Errors: invalid-parameter naming the option. */
export function parseMountOptions(options: readonly string[], destination: string): MountOptions {
  let bind = false;
  let recursive = false;
  let propagation: number | undefined;
  let propagationRecursive = false;
  let idmap: MountOptions['idmap'] = 'none';
  const own = { set: 0, clear: 0 };
  const deep = { set: 0, clear: 0 };
  const parameters: [key: string, value?: string][] = [];

  for (const option of options) {
    const recursiveName = option.startsWith('r') ? option.slice(1) : '';
    if (option === 'bind' || option === 'rbind') {
      bind = true;
      recursive ||= option === 'rbind';
    } else if (applyAttribute(own, option) || applyAttribute(deep, recursiveName)) {
      continue;
    } else if (propagations[option] !== undefined) {
      propagation = propagations[option];
      propagationRecursive = false;
    } else if (propagations[recursiveName] !== undefined) {
      propagation = propagations[recursiveName];
      propagationRecursive = true;
    } else if (option === 'idmap' || option === 'ridmap') {
      idmap = option === 'idmap' ? 'own' : 'recursive';
    } else if (refused.includes(option)) {
      throw invalidParameter(`Mount option "${option}" of "${destination}" is not supported`);
    } else if (superblockFlags.includes(option)) {
      parameters.push([option]);
    } else if (!nothing.includes(option)) {
      const equals = option.indexOf('=');
      parameters.push(equals === -1 ? [option] : [option.slice(0, equals), option.slice(equals + 1)]);
    }
  }
  const [stray] = parameters;
  if (bind && stray !== undefined)
    throw invalidParameter(`Mount option "${stray.join('=')}" of "${destination}" means nothing for a bind mount`);
  return {
    bind,
    recursive,
    attributes: own,
    recursiveAttributes: deep,
    propagation,
    propagationRecursive,
    idmap,
    parameters,
  };
}

/** Last one wins: an attribute that is set is not cleared any more, and the other way round. */
function applyAttribute(change: { set: number; clear: number }, name: string): boolean {
  const accessTime = accessTimes[name];
  if (accessTime !== undefined) {
    change.clear |= MOUNT_ATTR.ATIME;
    change.set = (change.set & ~MOUNT_ATTR.ATIME) | accessTime;
    return true;
  }
  const attribute = attributes[name];
  if (attribute === undefined) return false;
  const [bit, on] = attribute;
  change.set = on ? change.set | bit : change.set & ~bit;
  change.clear = on ? change.clear & ~bit : change.clear | bit;
  return true;
}
