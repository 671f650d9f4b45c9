/** One entry of HostConfig.Mounts (`--mount`): which fields go with which type, in dockerd's words. */
import * as path from 'node:path/posix';
import type { MountRequest } from '#api/types/host-config.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { isVolumeName } from '#pkg/names/volume-name.ts';
import { parseIdmap } from './idmap-option.ts';
import { checkDestination, type MountSpec, plainMount, propagations } from './mount-spec.ts';
import { checkTmpfsOptions, tmpfsOptions } from './tmpfs-options.ts';

type OptionsField = 'BindOptions' | 'VolumeOptions' | 'ImageOptions' | 'TmpfsOptions' | 'ArtifactOptions';

const optionsFields: readonly OptionsField[] = [
  'BindOptions',
  'VolumeOptions',
  'ImageOptions',
  'TmpfsOptions',
  'ArtifactOptions',
];

function mountError(request: MountRequest, why: string): Error {
  return invalidParameter(`${prefixOf(request.Type ?? '')}${why}`);
}

const prefixOf = (type: string): string => `invalid mount config for type "${type}": `;

/** Errors: invalid-parameter. */
export function parseMount(request: MountRequest): MountSpec {
  const type = request.Type ?? '';
  if (type === 'cluster') {
    throw notImplemented('mount type "cluster" is not supported: cluster volumes need a swarm manager');
  }
  if (type === 'npipe') throw mountError(request, 'mount type unknown: named pipes are of Windows');
  const target = request.Target ?? '';
  if (target === '') {
    throw mountError(request, 'field Target must not be empty');
  }
  if (!['bind', 'volume'].includes(type) && (request.IdMap !== undefined || request.Chown === true)) {
    throw mountError(request, 'only binds and volumes can have idmap and U');
  }
  const readOnly = request.ReadOnly ?? false;
  switch (type) {
    case 'bind':
      return parseBindMount(request, checkDestination(target, prefixOf(type)), readOnly);
    case 'volume':
      return parseVolumeMount(request, checkDestination(target, prefixOf(type)), readOnly);
    case 'tmpfs':
      return parseTmpfsMount(request, checkDestination(target, prefixOf(type)), readOnly);
    case 'image':
      return parseImageMount(request, checkDestination(target, prefixOf(type)));
    case 'artifact':
      return parseArtifactMount(request, checkDestination(target, prefixOf(type)));
    default:
      throw mountError(request, 'mount type unknown');
  }
}

function onlyOptions(request: MountRequest, own: OptionsField): void {
  for (const field of optionsFields) {
    if (field !== own && request[field] !== undefined)
      throw mountError(request, `field ${field} must not be specified`);
  }
}

function parseBindMount(request: MountRequest, destination: string, readOnly: boolean): MountSpec {
  const source = request.Source ?? '';
  if (source === '') throw mountError(request, 'field Source must not be empty');
  if (!source.startsWith('/')) {
    throw mountError(request, `invalid mount path: '${source}' mount path must be absolute`);
  }
  onlyOptions(request, 'BindOptions');
  const options = request.BindOptions ?? {};
  const propagation =
    options.Propagation === undefined || options.Propagation === '' ? 'rprivate' : options.Propagation;
  if (!propagations.includes(propagation)) throw mountError(request, `invalid propagation mode: ${propagation}`);
  return {
    ...plainMount,
    type: 'bind',
    source: path.resolve('/', source),
    destination,
    readOnly,
    readOnlyBelow: readOnlyBelow(request, readOnly),
    propagation,
    ...idsOf(request),
    createSource: options.CreateMountpoint ?? false,
    nonRecursive: options.NonRecursive ?? false,
  };
}

function idsOf({ IdMap: idmap, Chown: chown = false }: MountRequest): Pick<MountSpec, 'idmap' | 'chown'> {
  return { idmap: idmap === undefined ? '' : parseIdmap(idmap), chown };
}

function readOnlyBelow(request: MountRequest, readOnly: boolean): MountSpec['readOnlyBelow'] {
  const { ReadOnlyNonRecursive: no = false, ReadOnlyForceRecursive: always = false } = request.BindOptions ?? {};
  const conflict = (what: string): Error => mountError(request, `mount options conflict: ${what}`);
  if (no && !readOnly) throw conflict('!ReadOnly && BindOptions.ReadOnlyNonRecursive');
  if (always && !readOnly) throw conflict('!ReadOnly && BindOptions.ReadOnlyForceRecursive');
  if (no && always) throw conflict('BindOptions.ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive');
  if (always) return 'always';
  return no ? 'no' : 'if-possible';
}

function parseVolumeMount(request: MountRequest, destination: string, readOnly: boolean): MountSpec {
  onlyOptions(request, 'VolumeOptions');
  const options = request.VolumeOptions ?? {};
  const source = request.Source ?? '';
  const subpath = checkSubpath(request, options.Subpath ?? '');
  if (source === '' && subpath !== '') {
    throw mountError(request, 'must not set Subpath when using anonymous volumes');
  }
  if (source === '' && readOnly) {
    throw mountError(request, 'must not set ReadOnly mode when using anonymous volumes');
  }
  if (source !== '' && !isVolumeName(source)) {
    throw invalidParameter(
      `create ${source}: "${source}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
        'If you intended to pass a host directory, use absolute path',
    );
  }
  return {
    ...plainMount,
    type: 'volume',
    source,
    destination,
    readOnly,
    mode: 'z',
    ...idsOf(request),
    copyUp: !(options.NoCopy ?? false) && subpath === '',
    subpath,
    anonymous: source === '',
    driver: options.DriverConfig?.Name ?? '',
    driverOptions: options.DriverConfig?.Options ?? {},
    labels: options.Labels ?? {},
  };
}

/** Read-only always, as with dockerd. */
function parseImageMount(request: MountRequest, destination: string): MountSpec {
  onlyOptions(request, 'ImageOptions');
  const source = request.Source ?? '';
  if (source === '') throw mountError(request, 'field Source must not be empty');
  const subpath = checkSubpath(request, request.ImageOptions?.Subpath ?? '');
  return { ...plainMount, type: 'image', source, destination, readOnly: true, copyUp: false, subpath };
}

/** Podman's: the files of an OCI artifact, or one of them. Read-only always. */
function parseArtifactMount(request: MountRequest, destination: string): MountSpec {
  onlyOptions(request, 'ArtifactOptions');
  const source = request.Source ?? '';
  if (source === '') throw mountError(request, 'field Source must not be empty');
  const { Title: title = '', Digest: digest = '' } = request.ArtifactOptions ?? {};
  if (title !== '' && digest !== '') throw mountError(request, 'cannot set both title and digest');
  const file = title === '' ? digest : title;
  return { ...plainMount, type: 'artifact', source, destination, readOnly: true, copyUp: false, subpath: file };
}

function checkSubpath(request: MountRequest, subpath: string): string {
  if (subpath === '') return '';
  const clean = path.normalize(subpath);
  if (clean.startsWith('/') || clean === '..' || clean.startsWith('../') || subpath.includes('\0')) {
    throw mountError(request, 'subpath must be a relative path within the volume');
  }
  return clean === '.' ? '' : clean;
}

function parseTmpfsMount(request: MountRequest, destination: string, readOnly: boolean): MountSpec {
  if ((request.Source ?? '') !== '') throw mountError(request, 'field Source must not be specified');
  onlyOptions(request, 'TmpfsOptions');
  const options = request.TmpfsOptions ?? {};
  const list = (options.Options ?? []).map((pair) => pair.join('='));
  if ((options.SizeBytes ?? 0) < 0) throw mountError(request, 'size must not be negative');
  if ((options.SizeBytes ?? 0) > 0) list.push(`size=${options.SizeBytes}`);
  if ((options.Mode ?? 0) > 0) list.push(`mode=${(options.Mode ?? 0).toString(8)}`);
  checkTmpfsOptions(list);
  if (readOnly) list.push('ro');
  return { ...plainMount, type: 'tmpfs', source: '', destination, readOnly, tmpfsOptions: tmpfsOptions(list) };
}
