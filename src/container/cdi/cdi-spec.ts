/**
 * A CDI specification (Container Device Interface 0.3 to 1.0): what devices of one vendor and class are made of. Read
 * strictly: what we do not know is refused by its name, since a device that is only half there would look whole.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { Hook, Hooks } from '#libcontainer/spec.ts';

export interface CdiDeviceNode {
  readonly path: string;
  readonly hostPath: string;
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly permissions: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly type: string;
  readonly options: readonly string[];
}

export interface CdiHook extends Hook {
  readonly kind: keyof Hooks;
}

export interface CdiEdits {
  readonly env: readonly string[];
  readonly deviceNodes: readonly CdiDeviceNode[];
  readonly mounts: readonly CdiMount[];
  readonly hooks: readonly CdiHook[];
  readonly additionalGids: readonly number[];
}

export interface CdiSpec {
  /** 'vendor.com/class' */
  readonly kind: string;
  readonly edits: CdiEdits;
  readonly devices: ReadonlyMap<string, CdiEdits>;
}

const VENDOR = '[a-zA-Z](?:[a-zA-Z0-9._-]*[a-zA-Z0-9])?';
const CLASS = '[a-zA-Z](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?';
const DEVICE = '[a-zA-Z0-9](?:[a-zA-Z0-9_:.-]*[a-zA-Z0-9])?';
const kindPattern = new RegExp(`^${VENDOR}/${CLASS}$`);
const devicePattern = new RegExp(`^${DEVICE}$`);
const qualifiedPattern = new RegExp(`^${VENDOR}/${CLASS}=${DEVICE}$`);
const hookKinds: readonly (keyof Hooks)[] = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
];

/** 'vendor.com/class=name' */
export const isQualifiedName = (text: string): boolean => qualifiedPattern.test(text);

/** Errors: invalid-parameter naming the field. */
export function parseCdiSpec(text: string, format: 'json' | 'yaml'): CdiSpec {
  let document: unknown;
  try {
    document = format === 'json' ? JSON.parse(text) : Bun.YAML.parse(text);
  } catch (cause) {
    throw invalidParameter(`it is no ${format.toUpperCase()}`, { cause });
  }
  const spec = fields(document, 'spec', ['cdiVersion', 'kind', 'annotations', 'devices', 'containerEdits']);
  const version = text_(spec['cdiVersion'], 'cdiVersion');
  if (!/^(0\.[3-8]|1\.[01])\.\d+$/.test(version)) throw invalidParameter(`cdiVersion: "${version}" is not known`);
  const kind = text_(spec['kind'], 'kind');
  if (!kindPattern.test(kind)) throw invalidParameter(`kind: "${kind}" is not vendor/class`);
  const devices = new Map<string, CdiEdits>();
  for (const [i, entry] of list(spec['devices'], 'devices').entries()) {
    const device = fields(entry, `devices[${i}]`, ['name', 'annotations', 'containerEdits']);
    const name = text_(device['name'], `devices[${i}].name`);
    if (!devicePattern.test(name)) throw invalidParameter(`devices[${i}].name: "${name}" is no name`);
    if (devices.has(name)) throw invalidParameter(`devices: "${name}" stands twice`);
    devices.set(name, editsOf(device['containerEdits'], `devices[${i}].containerEdits`));
  }
  if (devices.size === 0) throw invalidParameter('devices: there is none');
  return { kind, edits: editsOf(spec['containerEdits'], 'containerEdits'), devices };
}

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown, place: string, known: readonly string[]): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw invalidParameter(`${place}: want an object`);
  for (const [name, entry] of Object.entries(value)) {
    const empty = entry === null || (Array.isArray(entry) && entry.length === 0);
    if (!known.includes(name) && !empty) throw invalidParameter(`${place}.${name}: this is not supported`);
  }
  return value as Fields; // checked: an object
}

function list(value: unknown, place: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalidParameter(`${place}: want a list`);
  return value;
}

function text_(value: unknown, place: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value !== 'string') throw invalidParameter(`${place}: want a text, not ${JSON.stringify(value)}`);
  if (value.includes('\0')) throw invalidParameter(`${place}: it contains a NUL byte`);
  return value;
}

const texts = (value: unknown, place: string): string[] =>
  list(value, place).map((entry, i) => text_(entry, `${place}[${i}]`));

function number(value: unknown, place: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0xff_ff_ff_ff) {
    throw invalidParameter(`${place}: want a number, not ${JSON.stringify(value)}`);
  }
  return value;
}

function absolute(value: unknown, place: string): string {
  const path = text_(value, place);
  if (!path.startsWith('/')) throw invalidParameter(`${place}: "${path}" is not an absolute path`);
  return path;
}

function editsOf(value: unknown, place: string): CdiEdits {
  const edits = fields(value, place, ['env', 'deviceNodes', 'mounts', 'hooks', 'additionalGids']);
  const env = texts(edits['env'], `${place}.env`);
  for (const entry of env) {
    if (entry.indexOf('=') <= 0) throw invalidParameter(`${place}.env: "${entry}" is not NAME=value`);
  }
  return {
    env,
    deviceNodes: list(edits['deviceNodes'], `${place}.deviceNodes`).map((v, i) =>
      deviceNodeOf(v, `${place}.deviceNodes[${i}]`),
    ),
    mounts: list(edits['mounts'], `${place}.mounts`).map((v, i) => mountOf(v, `${place}.mounts[${i}]`)),
    hooks: list(edits['hooks'], `${place}.hooks`).map((v, i) => hookOf(v, `${place}.hooks[${i}]`)),
    additionalGids: list(edits['additionalGids'], `${place}.additionalGids`).map((v, i) =>
      number(v, `${place}.additionalGids[${i}]`),
    ),
  };
}

function deviceNodeOf(value: unknown, place: string): CdiDeviceNode {
  const names = ['path', 'hostPath', 'type', 'major', 'minor', 'fileMode', 'permissions', 'uid', 'gid'];
  const node = fields(value, place, names);
  const path = absolute(node['path'], `${place}.path`);
  const permissions = text_(node['permissions'], `${place}.permissions`);
  if (!/^[rwm]{0,3}$/.test(permissions)) throw invalidParameter(`${place}.permissions: "${permissions}"`);
  const type = text_(node['type'], `${place}.type`);
  if (!['', 'b', 'c', 'u', 'p'].includes(type))
    throw invalidParameter(`${place}.type: "${type}" is no type of a device`);
  const maybe = (name: 'major' | 'minor' | 'fileMode' | 'uid' | 'gid') =>
    node[name] === undefined || node[name] === null ? {} : { [name]: number(node[name], `${place}.${name}`) };
  return {
    path,
    hostPath:
      text_(node['hostPath'], `${place}.hostPath`) === '' ? path : absolute(node['hostPath'], `${place}.hostPath`),
    permissions: permissions === '' ? 'rwm' : permissions,
    ...(type === '' ? {} : { type }),
    ...maybe('major'),
    ...maybe('minor'),
    ...maybe('fileMode'),
    ...maybe('uid'),
    ...maybe('gid'),
  };
}

function mountOf(value: unknown, place: string): CdiMount {
  const mount = fields(value, place, ['hostPath', 'containerPath', 'options', 'type']);
  const type = text_(mount['type'], `${place}.type`);
  return {
    hostPath: text_(mount['hostPath'], `${place}.hostPath`),
    containerPath: absolute(mount['containerPath'], `${place}.containerPath`),
    type: type === '' || type === 'none' ? 'bind' : type,
    options: texts(mount['options'], `${place}.options`),
  };
}

function hookOf(value: unknown, place: string): CdiHook {
  const hook = fields(value, place, ['hookName', 'path', 'args', 'env', 'timeout']);
  const name = text_(hook['hookName'], `${place}.hookName`);
  const kind = hookKinds.find((known) => known === name);
  if (kind === undefined) throw invalidParameter(`${place}.hookName: "${name}" is no hook`);
  const { timeout } = hook;
  return {
    kind,
    path: absolute(hook['path'], `${place}.path`),
    args: texts(hook['args'], `${place}.args`),
    env: texts(hook['env'], `${place}.env`),
    ...(timeout === undefined || timeout === null ? {} : { timeout: number(timeout, `${place}.timeout`) }),
  };
}
