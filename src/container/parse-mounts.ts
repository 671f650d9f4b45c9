/**
 * What a container wants mounted: mounts of other containers (`--volumes-from`), HostConfig.Binds (`-v`),
 * HostConfig.Mounts (`--mount`), HostConfig.Tmpfs (`--tmpfs`) and Config.Volumes (an image's VOLUME), parsed and checked
 * as far as text goes. Whether a source exists is the daemon's to see. What is asked for by its destination goes before
 * what comes with another container, and both before what the image wants.
 */
import * as path from 'node:path/posix';
import type { ContainerConfig } from '#api/types/container.ts';
import type { HostConfig } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { isVolumeName } from '#pkg/names/volume-name.ts';
import { parseIdmap } from './idmap-option.ts';
import { parseMount } from './mount-request.ts';
import { checkDestination, depth, type MountSpec, plainMount, propagations } from './mount-spec.ts';
import { checkTmpfsOptions, tmpfsOptions } from './tmpfs-options.ts';

type MountsOf = Pick<HostConfig, 'Binds' | 'Mounts' | 'Tmpfs' | 'VolumeDriver'>;

/** `inherited`: what inheritedMounts has made of other containers' mounts. */
export function parseMounts(
  host: MountsOf,
  config: Pick<ContainerConfig, 'Volumes'>,
  inherited: readonly MountSpec[] = [],
): MountSpec[] {
  const byDestination = new Map<string, MountSpec>();
  const add = (mount: MountSpec): void => {
    if (byDestination.has(mount.destination)) throw invalidParameter(`Duplicate mount point: ${mount.destination}`);
    byDestination.set(mount.destination, mount);
  };
  for (const text of host.Binds ?? []) add(parseBind(text, host.VolumeDriver));
  for (const request of host.Mounts ?? []) add(parseMount(request));
  for (const [destination, options] of Object.entries(host.Tmpfs ?? {})) add(parseTmpfs(destination, options));
  for (const mount of inherited) {
    if (!byDestination.has(mount.destination)) byDestination.set(mount.destination, mount);
  }
  for (const destination of Object.keys(config.Volumes ?? {})) {
    const clean = checkDestination(destination, 'invalid mount config for type "volume": ');
    if (byDestination.has(clean)) continue;
    const driver = host.VolumeDriver;
    add({ ...plainMount, type: 'volume', source: '', destination: clean, anonymous: true, driver });
  }
  return [...byDestination.values()].sort((a, b) => depth(a.destination) - depth(b.destination));
}

function parseTmpfs(destination: string, options: string): MountSpec {
  const list = options === '' ? [] : options.split(',');
  checkTmpfsOptions(list);
  return {
    ...plainMount,
    type: 'tmpfs',
    source: '',
    destination: checkDestination(destination),
    readOnly: list.includes('ro'),
    tmpfsOptions: tmpfsOptions(list),
    hidden: true,
  };
}

/** `CONTAINER[:MODE]` of --volumes-from. Errors: invalid-parameter. */
export function parseVolumesFrom(text: string): { readonly container: string; readonly readOnly: boolean } {
  const colon = text.indexOf(':');
  const container = colon < 0 ? text : text.slice(0, colon);
  const mode = colon < 0 ? '' : text.slice(colon + 1);
  if (container === '') throw invalidParameter(`malformed volumes-from specification: ${text}`);
  const options = parseMode(mode);
  if (options.propagation !== undefined || options.noCopy || options.idmap !== '' || options.chown)
    throw invalidParameter(`invalid mode: ${mode}`);
  return { container, readOnly: options.readOnly };
}

/** What a container gets of another one's mounts: volumes by their names, and nothing is filled or labelled anew. */
export function inheritedMounts(
  mounts: readonly (MountSpec & { readonly volume: string })[],
  readOnly: boolean,
): MountSpec[] {
  return mounts
    .filter((mount) => !mount.hidden)
    .map(({ volume, ...mount }) => ({
      ...mount,
      source: volume === '' ? mount.source : volume,
      readOnly: mount.readOnly || readOnly,
      copyUp: false,
      chown: false,
      mode: '',
      // What the other has not made yet, for it has not been started, this one makes.
      createSource: mount.type === 'bind',
      driver: '',
      driverOptions: {},
      labels: {},
    }));
}

function checkSourceName(name: string): void {
  if (isVolumeName(name)) return;
  if (name.length === 1) {
    throw invalidParameter('volume name is too short, names should be at least two alphanumeric characters');
  }
  throw invalidParameter(
    `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
      'If you intended to pass a host directory, use absolute path',
  );
}

const prefixOf = (text: string, type: string): string =>
  `invalid volume specification: '${text}': invalid mount config for type "${type}": `;

const consistencies = ['consistent', 'cached', 'delegated', 'default'];

/** `SOURCE:DESTINATION[:MODE]` or a destination alone (an anonymous volume). */
export function parseBind(text: string, driver = ''): MountSpec {
  const parts = text.split(':');
  if (parts.some((part) => part === '') || parts.length > 3) {
    throw invalidParameter(`invalid volume specification: '${text}'`);
  }
  const [first = '', second, mode = ''] = parts;
  if (second === undefined) {
    return {
      ...plainMount,
      type: 'volume',
      source: '',
      destination: checkDestination(first, prefixOf(text, 'volume')),
      anonymous: true,
      driver,
    };
  }
  const options = parseMode(mode);
  const destination = checkDestination(second, prefixOf(text, first.startsWith('/') ? 'bind' : 'volume'));
  if (first.startsWith('/')) {
    if (options.noCopy) throw invalidParameter(`invalid mode: ${mode}`);
    const source = path.resolve('/', first);
    const propagation = options.propagation ?? 'rprivate';
    return {
      ...plainMount,
      type: 'bind',
      source,
      destination,
      readOnly: options.readOnly,
      mode,
      idmap: options.idmap,
      chown: options.chown,
      propagation,
      createSource: true,
    };
  }
  if (options.propagation !== undefined) {
    throw invalidParameter(
      `invalid volume specification: '${text}': invalid mount config for type "volume": field BindOptions must not be specified`,
    );
  }
  checkSourceName(first);
  const { readOnly } = options;
  return {
    ...plainMount,
    type: 'volume',
    source: first,
    destination,
    readOnly,
    mode: mode === '' ? 'z' : mode,
    idmap: options.idmap,
    chown: options.chown,
    copyUp: !options.noCopy,
    driver,
  };
}

interface Mode {
  readonly readOnly: boolean;
  readonly propagation: string | undefined;
  readonly noCopy: boolean;
  readonly idmap: string;
  readonly chown: boolean;
}

function parseMode(mode: string): Mode {
  let access: string | undefined;
  let propagation: string | undefined;
  let label: string | undefined;
  let consistency: string | undefined;
  let noCopy = false;
  let idmap: string | undefined;
  let chown = false;
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
    // Podman's.
    else if (option === 'U' && !chown) chown = true;
    else if (option === 'idmap' || option.startsWith('idmap=')) {
      idmap = once(idmap, parseIdmap(option === 'idmap' ? undefined : option.slice('idmap='.length)));
    } else throw invalidParameter(`invalid mode: ${mode}`);
  }
  return { readOnly: access === 'ro', propagation, noCopy, idmap: idmap ?? '', chown };
}
