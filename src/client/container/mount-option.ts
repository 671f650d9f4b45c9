/** `--mount type=bind,source=/x,target=/y,readonly`: a line of CSV with docker's keys. */
import type { MountRequest } from '#api/types/host-config.ts';
import { parseBool, parseRamBytes } from '../flags/go-values.ts';
import { splitCsv } from './csv.ts';
import { nodePath } from '../node-modules.ts';

type Setter = (mount: MountRequest, value: string, key: string) => void;

function boolOf(value: string, key: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new Error(`invalid value for ${key}: ${value}`);
  }
}

const setSource: Setter = (mount, value) => {
  mount.Source = value.startsWith('.') ? nodePath().resolve(value) : value;
};
const setTarget: Setter = (mount, value) => {
  mount.Target = value;
};
const setReadOnly: Setter = (mount, value, key) => {
  mount.ReadOnly = boolOf(value, key);
};

const setChown: Setter = (mount, value, key) => {
  mount.Chown = boolOf(value, key);
};

function addPair(into: Record<string, string> | undefined, value: string): Record<string, string> {
  const [name = '', rest = ''] = value.split(/=(.*)/s);
  return { ...into, [name]: rest };
}

const SETTERS: Readonly<Record<string, Setter>> = {
  type: (mount, value) => {
    mount.Type = value.toLowerCase();
  },
  source: setSource,
  src: setSource,
  target: setTarget,
  dst: setTarget,
  destination: setTarget,
  readonly: setReadOnly,
  ro: setReadOnly,
  consistency: (mount, value) => {
    mount.Consistency = value.toLowerCase();
  },
  // Podman's, for binds and volumes.
  idmap: (mount, value) => {
    mount.IdMap = value;
  },
  u: setChown,
  chown: setChown,
  'bind-propagation': (mount, value) => {
    mount.BindOptions = { ...mount.BindOptions, Propagation: value.toLowerCase() };
  },
  'bind-nonrecursive': (mount, value, key) => {
    mount.BindOptions = { ...mount.BindOptions, NonRecursive: boolOf(value, key) };
  },
  'bind-recursive': (mount, value) => {
    const options = { ...mount.BindOptions };
    if (value === 'disabled') options.NonRecursive = true;
    else if (value === 'writable') options.ReadOnlyNonRecursive = true;
    else if (value === 'readonly') options.ReadOnlyForceRecursive = true;
    else if (value !== 'enabled') {
      throw new Error(
        `invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`,
      );
    }
    mount.BindOptions = options;
  },
  'bind-create-src': (mount, value, key) => {
    mount.BindOptions = { ...mount.BindOptions, CreateMountpoint: boolOf(value, key) };
  },
  'volume-nocopy': (mount, value, key) => {
    mount.VolumeOptions = { ...mount.VolumeOptions, NoCopy: boolOf(value, key) };
  },
  'volume-subpath': (mount, value) => {
    mount.VolumeOptions = { ...mount.VolumeOptions, Subpath: value };
  },
  'volume-label': (mount, value) => {
    mount.VolumeOptions = { ...mount.VolumeOptions, Labels: addPair(mount.VolumeOptions?.Labels, value) };
  },
  'volume-driver': (mount, value) => {
    const { DriverConfig } = mount.VolumeOptions ?? {};
    mount.VolumeOptions = { ...mount.VolumeOptions, DriverConfig: { ...DriverConfig, Name: value } };
  },
  'volume-opt': (mount, value) => {
    const { DriverConfig } = mount.VolumeOptions ?? {};
    const Options = addPair(DriverConfig?.Options, value);
    mount.VolumeOptions = { ...mount.VolumeOptions, DriverConfig: { ...DriverConfig, Options } };
  },
  'image-subpath': (mount, value) => {
    mount.ImageOptions = { ...mount.ImageOptions, Subpath: value };
  },
  // Podman's, for artifacts.
  title: (mount, value) => {
    mount.ArtifactOptions = { ...mount.ArtifactOptions, Title: value };
  },
  digest: (mount, value) => {
    mount.ArtifactOptions = { ...mount.ArtifactOptions, Digest: value };
  },
  'tmpfs-size': (mount, value, key) => {
    try {
      mount.TmpfsOptions = { ...mount.TmpfsOptions, SizeBytes: parseRamBytes(value) };
    } catch {
      throw new Error(`invalid value for ${key}: ${value}`);
    }
  },
  'tmpfs-mode': (mount, value, key) => {
    if (!/^[0-7]+$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
    mount.TmpfsOptions = { ...mount.TmpfsOptions, Mode: Number.parseInt(value, 8) };
  },
};

/** Keys that may stand alone and then mean true. */
const ALONE = new Set([
  'readonly',
  'ro',
  'idmap',
  'u',
  'chown',
  'volume-nocopy',
  'bind-nonrecursive',
  'bind-create-src',
]);
const OPTIONS_OF: Readonly<Record<string, keyof MountRequest>> = {
  bind: 'BindOptions',
  volume: 'VolumeOptions',
  image: 'ImageOptions',
  tmpfs: 'TmpfsOptions',
  artifact: 'ArtifactOptions',
};

export function parseMount(text: string): MountRequest {
  const mount: MountRequest = { Type: 'volume' };
  for (const field of splitCsv(text)) {
    const [rawKey = '', value] = field.split(/=(.*)/s);
    const key = rawKey.toLowerCase();
    if (value === undefined && !ALONE.has(key)) throw new Error(`invalid field '${field}' must be a key=value pair`);
    const set = Object.hasOwn(SETTERS, key) ? SETTERS[key] : undefined;
    if (set === undefined) throw new Error(`unexpected key '${key}' in '${field}'`);
    set(mount, value ?? 'true', key);
  }
  if (mount.Type === undefined || mount.Type === '') throw new Error('type is required');
  if (mount.Target === undefined || mount.Target === '') throw new Error('target is required');
  for (const [type, name] of Object.entries(OPTIONS_OF)) {
    if (type !== mount.Type && mount[name] !== undefined) {
      throw new Error(`cannot mix '${type}-*' options with mount type '${mount.Type}'`);
    }
  }
  return mount;
}
