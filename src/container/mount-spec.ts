/** One mount of a container as it was asked for, and what every way of asking shares. */
import * as path from 'node:path/posix';
import { invalidParameter } from '#errdefs/errors.ts';

export interface MountSpec {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'image' | 'artifact';
  /** Host path of a bind, name of a volume ('' until an anonymous one has its id), image or artifact as asked for, '' of a tmpfs. */
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
  /** Whether what is mounted below a read-only bind is read-only too. */
  readonly readOnlyBelow: 'if-possible' | 'no' | 'always';
  /** As the client wrote it, for inspect. */
  readonly mode: string;
  readonly propagation: string;
  /** A bind by `-v` makes a missing source directory. */
  readonly createSource: boolean;
  /** A new volume starts with what the image has at the destination. */
  readonly copyUp: boolean;
  readonly nonRecursive: boolean;
  /** Below the root of the volume or image; '' is the root itself. Of an artifact: title or digest of the one file. */
  readonly subpath: string;
  /** Made for this container: removed with it by `rm -v` and `--rm`. */
  readonly anonymous: boolean;
  /** Of a volume that is to be made; '' is `local`. */
  readonly driver: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly tmpfsOptions: readonly string[];
  /** See idmap-option.ts; '' is none asked for. */
  readonly idmap: string;
  /** At each start everything in it is given to the container's user. */
  readonly chown: boolean;
  /** `--tmpfs`: inspect does not list it among Mounts. */
  readonly hidden: boolean;
}

export const plainMount = {
  readOnly: false,
  readOnlyBelow: 'if-possible',
  mode: '',
  propagation: '',
  createSource: false,
  copyUp: true,
  nonRecursive: false,
  subpath: '',
  anonymous: false,
  driver: '',
  driverOptions: {},
  labels: {},
  tmpfsOptions: [],
  idmap: '',
  chown: false,
  hidden: false,
} as const;

/** Number of names in a path: parents are mounted before what lies in them. */
export function depth(destination: string): number {
  return destination.split('/').length;
}

/** A clean absolute path that is not the root. `prefix` goes before what is wrong. Errors: invalid-parameter. */
export function checkDestination(destination: string, prefix = ''): string {
  if (!destination.startsWith('/')) {
    throw invalidParameter(`${prefix}invalid mount path: '${destination}' mount path must be absolute`);
  }
  const clean = path.resolve('/', path.normalize(destination));
  if (clean === '/') {
    throw invalidParameter(`${prefix}invalid specification: destination can't be '/'`);
  }
  if (clean === '/proc' || clean.startsWith('/proc/')) {
    // A mount over /proc would send what the runtime writes there somewhere else (CVE-2019-16884).
    throw invalidParameter(`invalid mount path: '${destination}' cannot be mounted because it is inside /proc`);
  }
  return clean;
}

export const propagations = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'];
