/**
 * What a container wants mounted: HostConfig.Binds (`-v`), HostConfig.Mounts (`--mount`), HostConfig.Tmpfs (`--tmpfs`)
 * and Config.Volumes (an image's VOLUME), parsed and checked as far as text goes. Whether a source exists is the
 * daemon's to see. The strongest request for a destination wins, in the order above.
 */
import * as path from 'node:path/posix';
import type { ContainerConfig } from '#api/types/container.ts';
import type { HostConfig, MountRequest } from '#api/types/host-config.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { checkTmpfsOptions, tmpfsOptions } from './tmpfs-options.ts';

export interface MountSpec {
  readonly type: 'bind' | 'volume' | 'tmpfs';
  /** Host path of a bind, name of a volume ('' until an anonymous one has its id), '' of a tmpfs. */
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
  /** As the client wrote it, for inspect. */
  readonly mode: string;
  readonly propagation: string;
  /** A bind by `-v` makes a missing source directory. */
  readonly createSource: boolean;
  /** A new volume starts with what the image has at the destination. */
  readonly copyUp: boolean;
  readonly nonRecursive: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly tmpfsOptions: readonly string[];
  /** `--tmpfs`: inspect does not list it among Mounts. */
  readonly hidden: boolean;
}

const plain = {
  readOnly: false,
  mode: '',
  propagation: '',
  createSource: false,
  copyUp: true,
  nonRecursive: false,
  labels: {},
  tmpfsOptions: [],
  hidden: false,
} as const;

type MountsOf = Pick<HostConfig, 'Binds' | 'Mounts' | 'Tmpfs' | 'VolumeDriver'>;

export function parseMounts(host: MountsOf, config: Pick<ContainerConfig, 'Volumes'>): MountSpec[] {
  const byDestination = new Map<string, MountSpec>();
  const add = (mount: MountSpec): void => {
    if (byDestination.has(mount.destination)) throw invalidParameter(`Duplicate mount point: ${mount.destination}`);
    byDestination.set(mount.destination, mount);
  };
  for (const text of host.Binds ?? []) add(parseBind(text));
  for (const request of host.Mounts ?? []) add(parseMount(request));
  for (const [destination, options] of Object.entries(host.Tmpfs ?? {})) {
    const clean = checkDestination(destination, destination);
    const list = options === '' ? [] : options.split(',');
    checkTmpfsOptions(list);
    const readOnly = list.includes('ro');
    add({
      ...plain,
      type: 'tmpfs',
      source: '',
      destination: clean,
      readOnly,
      tmpfsOptions: tmpfsOptions(list),
      hidden: true,
    });
  }
  for (const destination of Object.keys(config.Volumes ?? {})) {
    const clean = checkDestination(destination, destination);
    if (!byDestination.has(clean)) add({ ...plain, type: 'volume', source: '', destination: clean });
  }
  return [...byDestination.values()].sort((a, b) => depth(a.destination) - depth(b.destination));
}

/** Number of names in a path: parents are mounted before what lies in them. */
export function depth(destination: string): number {
  return destination.split('/').length;
}

const volumeNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

export function checkVolumeName(name: string): void {
  if (volumeNamePattern.test(name)) return;
  if (name.length === 1) {
    throw invalidParameter('volume name is too short, names should be at least two alphanumeric characters');
  }
  throw invalidParameter(
    `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
      'If you intended to pass a host directory, use absolute path',
  );
}

/** A clean absolute path that is not the root. */
function checkDestination(destination: string, specification: string): string {
  if (!destination.startsWith('/')) {
    throw invalidParameter(`invalid mount path: '${destination}' mount path must be absolute`);
  }
  const clean = path.resolve('/', path.normalize(destination));
  if (clean === '/') {
    throw invalidParameter(`invalid volume specification: '${specification}': invalid mount: destination can't be '/'`);
  }
  if (clean === '/proc' || clean.startsWith('/proc/')) {
    // A mount over /proc would send what the runtime writes there somewhere else (CVE-2019-16884).
    throw invalidParameter(`invalid mount path: '${destination}' cannot be mounted because it is inside /proc`);
  }
  return clean;
}

const propagations = ['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'];
const consistencies = ['consistent', 'cached', 'delegated', 'default'];

/** `SOURCE:DESTINATION[:MODE]` or a destination alone (an anonymous volume). */
export function parseBind(text: string): MountSpec {
  const parts = text.split(':');
  if (parts.some((part) => part === '') || parts.length > 3) {
    throw invalidParameter(`invalid volume specification: '${text}'`);
  }
  const [first = '', second, mode = ''] = parts;
  if (second === undefined) {
    return { ...plain, type: 'volume', source: '', destination: checkDestination(first, text) };
  }
  const options = parseMode(mode);
  const destination = checkDestination(second, text);
  if (first.startsWith('/')) {
    if (options.noCopy) throw invalidParameter(`invalid mode: ${mode}`);
    const source = path.resolve('/', first);
    const propagation = options.propagation ?? 'rprivate';
    return {
      ...plain,
      type: 'bind',
      source,
      destination,
      readOnly: options.readOnly,
      mode,
      propagation,
      createSource: true,
    };
  }
  if (options.propagation !== undefined) throw invalidParameter(`invalid mode: ${mode}`);
  checkVolumeName(first);
  const { readOnly } = options;
  return {
    ...plain,
    type: 'volume',
    source: first,
    destination,
    readOnly,
    mode: mode === '' ? 'z' : mode,
    copyUp: !options.noCopy,
  };
}

function parseMode(mode: string): { readOnly: boolean; propagation: string | undefined; noCopy: boolean } {
  let access: string | undefined;
  let propagation: string | undefined;
  let label: string | undefined;
  let consistency: string | undefined;
  let noCopy = false;
  const once = (before: string | undefined, option: string): string => {
    if (before !== undefined) throw invalidParameter(`invalid mode: ${mode}`);
    return option;
  };
  for (const option of mode === '' ? [] : mode.split(',')) {
    if (option === 'ro' || option === 'rw') access = once(access, option);
    // Labels for SELinux do nothing where it is off, which is everywhere that is supported.
    else if (option === 'z' || option === 'Z') label = once(label, option);
    else if (propagations.includes(option)) propagation = once(propagation, option);
    else if (consistencies.includes(option)) consistency = once(consistency, option);
    else if (option === 'nocopy' && !noCopy) noCopy = true;
    else throw invalidParameter(`invalid mode: ${mode}`);
  }
  return { readOnly: access === 'ro', propagation, noCopy };
}

function mountError(request: MountRequest, why: string): Error {
  return invalidParameter(`invalid mount config for type "${request.Type ?? ''}": ${why}`);
}

function parseMount(request: MountRequest): MountSpec {
  const target = request.Target ?? '';
  if (target === '') throw mountError(request, 'field Target must not be empty');
  const readOnly = request.ReadOnly ?? false;
  switch (request.Type ?? '') {
    case 'bind':
      return parseBindMount(request, checkDestination(target, target), readOnly);
    case 'volume':
      return parseVolumeMount(request, checkDestination(target, target), readOnly);
    case 'tmpfs':
      return parseTmpfsMount(request, checkDestination(target, target), readOnly);
    case 'image':
      throw notImplemented('mount type "image" is not supported yet');
    default:
      throw mountError(request, 'mount type unknown');
  }
}

function parseBindMount(request: MountRequest, destination: string, readOnly: boolean): MountSpec {
  const source = request.Source ?? '';
  if (source === '') throw mountError(request, 'field Source must not be empty');
  if (!source.startsWith('/')) {
    throw mountError(request, `invalid mount path: '${source}' mount path must be absolute`);
  }
  if (request.VolumeOptions !== undefined) throw mountError(request, 'field VolumeOptions must not be specified');
  if (request.TmpfsOptions !== undefined) throw mountError(request, 'field TmpfsOptions must not be specified');
  const options = request.BindOptions ?? {};
  const propagation =
    options.Propagation === undefined || options.Propagation === '' ? 'rprivate' : options.Propagation;
  if (!propagations.includes(propagation)) throw mountError(request, `invalid propagation mode: ${propagation}`);
  if (options.ReadOnlyForceRecursive === true) {
    throw notImplemented('BindOptions.ReadOnlyForceRecursive is not supported yet');
  }
  return {
    ...plain,
    type: 'bind',
    source: path.resolve('/', source),
    destination,
    readOnly,
    propagation,
    createSource: options.CreateMountpoint ?? false,
    nonRecursive: options.NonRecursive ?? false,
  };
}

function parseVolumeMount(request: MountRequest, destination: string, readOnly: boolean): MountSpec {
  if (request.BindOptions !== undefined) throw mountError(request, 'field BindOptions must not be specified');
  if (request.TmpfsOptions !== undefined) throw mountError(request, 'field TmpfsOptions must not be specified');
  const options = request.VolumeOptions ?? {};
  const driver = options.DriverConfig?.Name ?? '';
  if (driver !== '' && driver !== 'local') throw notImplemented(`volume driver "${driver}" is not supported yet`);
  if (Object.keys(options.DriverConfig?.Options ?? {}).length > 0) {
    throw notImplemented('VolumeOptions.DriverConfig.Options is not supported yet');
  }
  if ((options.Subpath ?? '') !== '') throw notImplemented('VolumeOptions.Subpath is not supported yet');
  const source = request.Source ?? '';
  if (source !== '') checkVolumeName(source);
  const copyUp = !(options.NoCopy ?? false);
  return { ...plain, type: 'volume', source, destination, readOnly, mode: 'z', copyUp, labels: options.Labels ?? {} };
}

function parseTmpfsMount(request: MountRequest, destination: string, readOnly: boolean): MountSpec {
  if ((request.Source ?? '') !== '') throw mountError(request, 'field Source must not be specified');
  if (request.BindOptions !== undefined) throw mountError(request, 'field BindOptions must not be specified');
  if (request.VolumeOptions !== undefined) throw mountError(request, 'field VolumeOptions must not be specified');
  const options = request.TmpfsOptions ?? {};
  const list = (options.Options ?? []).map((pair) => pair.join('='));
  if ((options.SizeBytes ?? 0) < 0) throw mountError(request, 'size must not be negative');
  if ((options.SizeBytes ?? 0) > 0) list.push(`size=${options.SizeBytes}`);
  if ((options.Mode ?? 0) > 0) list.push(`mode=${(options.Mode ?? 0).toString(8)}`);
  checkTmpfsOptions(list);
  if (readOnly) list.push('ro');
  return { ...plain, type: 'tmpfs', source: '', destination, readOnly, tmpfsOptions: tmpfsOptions(list) };
}
