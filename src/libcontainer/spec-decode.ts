/**
 * Outside JSON (a bundle's config.json) → Spec. The shape of the specification is data here; every problem is collected
 * and named by its field, so that one run tells a user all of them. Unknown fields are left out, as the specification
 * demands. Whether the values make sense together is spec-check.ts's question.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { namespaceTypes, type Spec } from './spec.ts';

type Shape =
  | 'string'
  | 'boolean'
  | 'integer'
  | 'u32'
  | 'any'
  | { readonly oneOf: readonly string[] }
  | { readonly list: Shape }
  | { readonly map: Shape }
  | { readonly fields: Readonly<Record<string, Shape>>; readonly required: readonly string[] };

const fields = (shapes: Readonly<Record<string, Shape>>, ...required: string[]): Shape => ({
  fields: shapes,
  required,
});
const list = (shape: Shape): Shape => ({ list: shape });
const map = (shape: Shape): Shape => ({ map: shape });
const strings = list('string');

const idMappings = list(fields({ containerID: 'u32', hostID: 'u32', size: 'u32' }, 'containerID', 'hostID', 'size'));
const hooks = list(fields({ path: 'string', args: strings, env: strings, timeout: 'integer' }, 'path'));
const throttle = list(fields({ major: 'integer', minor: 'integer', rate: 'integer' }, 'major', 'minor', 'rate'));
const capabilities = fields({
  bounding: strings,
  effective: strings,
  inheritable: strings,
  permitted: strings,
  ambient: strings,
});

const processShape = fields(
  {
    terminal: 'boolean',
    consoleSize: fields({ height: 'u32', width: 'u32' }, 'height', 'width'),
    cwd: 'string',
    env: strings,
    args: strings,
    rlimits: list(fields({ type: 'string', soft: 'integer', hard: 'integer' }, 'type', 'soft', 'hard')),
    apparmorProfile: 'string',
    selinuxLabel: 'string',
    capabilities,
    noNewPrivileges: 'boolean',
    oomScoreAdj: 'integer',
    ioPriority: fields({ class: 'string', priority: 'integer' }, 'class', 'priority'),
    scheduler: fields(
      {
        policy: 'string',
        nice: 'integer',
        priority: 'integer',
        flags: strings,
        runtime: 'integer',
        deadline: 'integer',
        period: 'integer',
      },
      'policy',
    ),
    user: fields({ uid: 'u32', gid: 'u32', umask: 'u32', additionalGids: list('u32') }, 'uid', 'gid'),
  },
  'cwd',
  'user',
);

const resources = fields({
  devices: list(
    fields({ allow: 'boolean', type: 'string', major: 'integer', minor: 'integer', access: 'string' }, 'allow'),
  ),
  memory: fields({
    limit: 'integer',
    reservation: 'integer',
    swap: 'integer',
    kernel: 'integer',
    kernelTCP: 'integer',
    swappiness: 'integer',
    disableOOMKiller: 'boolean',
    useHierarchy: 'boolean',
    checkBeforeUpdate: 'boolean',
  }),
  cpu: fields({
    shares: 'integer',
    quota: 'integer',
    burst: 'integer',
    period: 'integer',
    realtimeRuntime: 'integer',
    realtimePeriod: 'integer',
    cpus: 'string',
    mems: 'string',
    idle: 'integer',
  }),
  pids: fields({ limit: 'integer' }),
  blockIO: fields({
    weight: 'integer',
    leafWeight: 'integer',
    weightDevice: list(
      fields({ major: 'integer', minor: 'integer', weight: 'integer', leafWeight: 'integer' }, 'major', 'minor'),
    ),
    throttleReadBpsDevice: throttle,
    throttleWriteBpsDevice: throttle,
    throttleReadIOPSDevice: throttle,
    throttleWriteIOPSDevice: throttle,
  }),
  hugepageLimits: list(fields({ pageSize: 'string', limit: 'integer' }, 'pageSize', 'limit')),
  network: fields({
    classID: 'u32',
    priorities: list(fields({ name: 'string', priority: 'u32' }, 'name', 'priority')),
  }),
  rdma: map(fields({ hcaHandles: 'u32', hcaObjects: 'u32' })),
  unified: map('string'),
});

const seccomp: Shape = fields(
  {
    defaultAction: 'string',
    defaultErrnoRet: 'u32',
    architectures: strings,
    flags: strings,
    listenerPath: 'string',
    listenerMetadata: 'string',
    syscalls: list(
      fields(
        {
          names: strings,
          action: 'string',
          errnoRet: 'u32',
          args: list(
            fields({ index: 'u32', value: 'integer', valueTwo: 'integer', op: 'string' }, 'index', 'value', 'op'),
          ),
        },
        'names',
        'action',
      ),
    ),
  },
  'defaultAction',
);

const linux = fields({
  uidMappings: idMappings,
  gidMappings: idMappings,
  sysctl: map('string'),
  resources,
  cgroupsPath: 'string',
  namespaces: list(fields({ type: { oneOf: namespaceTypes }, path: 'string' }, 'type')),
  devices: list(
    fields(
      {
        type: 'string',
        path: 'string',
        major: 'integer',
        minor: 'integer',
        fileMode: 'u32',
        uid: 'u32',
        gid: 'u32',
      },
      'type',
      'path',
    ),
  ),
  seccomp,
  rootfsPropagation: 'string',
  maskedPaths: strings,
  readonlyPaths: strings,
  mountLabel: 'string',
  intelRdt: map('any'),
  personality: fields({ domain: 'string', flags: strings }, 'domain'),
  timeOffsets: map(fields({ secs: 'integer', nanosecs: 'u32' })),
});

const specShape = fields(
  {
    ociVersion: 'string',
    process: processShape,
    root: fields({ path: 'string', readonly: 'boolean' }, 'path'),
    hostname: 'string',
    domainname: 'string',
    mounts: list(
      fields(
        {
          destination: 'string',
          type: 'string',
          source: 'string',
          options: strings,
          uidMappings: idMappings,
          gidMappings: idMappings,
        },
        'destination',
      ),
    ),
    hooks: fields({
      prestart: hooks,
      createRuntime: hooks,
      createContainer: hooks,
      startContainer: hooks,
      poststart: hooks,
      poststop: hooks,
    }),
    annotations: map('string'),
    linux,
  },
  'ociVersion',
);

const LIST_LENGTH_MAX = 100_000;
const U32_MAX = 0xffff_ffff;

function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `${typeof value} ${JSON.stringify(value)}`;
}

/** The value with unknown fields left out; problems are appended. Null counts as absent, as Go's encoder writes it. */
function decode(value: unknown, shape: Shape, path: string, problems: string[]): unknown {
  const wrong = (wanted: string) => {
    problems.push(`${path}: must be ${wanted}, not ${describe(value)}`);
    return undefined;
  };
  if (shape === 'any') return value;
  if (shape === 'string') return typeof value === 'string' ? checkNul(value, path, problems) : wrong('a string');
  if (shape === 'boolean') return typeof value === 'boolean' ? value : wrong('true or false');
  if (shape === 'integer')
    return typeof value === 'number' && Number.isInteger(value) ? value : wrong('a whole number');
  if (shape === 'u32') {
    const fits = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= U32_MAX;
    return fits ? value : wrong('a whole number from 0 to 4294967295');
  }
  if ('oneOf' in shape) {
    return typeof value === 'string' && shape.oneOf.includes(value) ? value : wrong(`one of ${shape.oneOf.join(', ')}`);
  }
  if ('list' in shape) {
    if (!Array.isArray(value)) return wrong('a list');
    if (value.length > LIST_LENGTH_MAX) return wrong(`a list of at most ${LIST_LENGTH_MAX}`);
    return value.map((element: unknown, i) => decode(element, shape.list, `${path}[${i}]`, problems));
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong('an object');
  if ('map' in shape) {
    return Object.fromEntries(
      Object.entries(value).map(([key, v]) => [key, decode(v, shape.map, `${path}.${key}`, problems)]),
    );
  }
  const result: Record<string, unknown> = {};
  for (const [key, inner] of Object.entries(shape.fields)) {
    // SAFETY of the cast: value was seen to be a plain object; what is read from it is checked by `decode`.
    const child = (value as Record<string, unknown>)[key];
    const at = path === '' ? key : `${path}.${key}`;
    if (child !== undefined && child !== null) result[key] = decode(child, inner, at, problems);
    else if (shape.required.includes(key)) problems.push(`${at}: is missing`);
  }
  return result;
}

function checkNul(value: string, path: string, problems: string[]): string {
  if (value.includes('\0')) problems.push(`${path}: must not contain a NUL byte`);
  return value;
}

/** Everything that is wrong with the form of `value`, and the Spec when nothing is. */
export function parseSpec(value: unknown): { readonly spec?: Spec; readonly problems: readonly string[] } {
  const problems: string[] = [];
  const decoded = decode(value, specShape, '', problems);
  if (problems.length > 0) return { problems };
  // The shape above is the type Spec field by field; `decode` has checked each.
  return { spec: decoded as Spec, problems };
}

/** Errors: invalid-parameter naming every wrong field. */
export function decodeSpec(value: unknown): Spec {
  const { spec, problems } = parseSpec(value);
  if (spec === undefined) throw invalidParameter(`Invalid container configuration: ${problems.join('; ')}`);
  return spec;
}

/** Errors: invalid-parameter naming every wrong field of a `process` document (exec --process). */
export function decodeProcess(value: unknown): NonNullable<Spec['process']> {
  const problems: string[] = [];
  const decoded = decode(value, processShape, 'process', problems);
  if (problems.length > 0) throw invalidParameter(`Invalid process configuration: ${problems.join('; ')}`);
  return decoded as NonNullable<Spec['process']>;
}
