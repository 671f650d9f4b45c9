/**
 * `GET /info` of API 1.51 as a JSON schema: every key that its documentation names, with its type. `true` in `optional`
 * marks what the documentation lets be absent or null, as dockerd does.
 */
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface Schema {
  readonly type: 'string' | 'integer' | 'boolean' | 'array' | 'object';
  readonly nullable?: true;
  readonly optional?: true;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly values?: Schema;
  readonly oneOf?: readonly string[];
}

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const count: Schema = { type: 'integer' };
const texts: Schema = { type: 'array', items: text };
const nullableTexts: Schema = { ...texts, nullable: true };
const object = (properties: Readonly<Record<string, Schema>>): Schema => ({ type: 'object', properties });
const commit = object({ ID: text, Expected: { ...text, optional: true } });

export const infoSchema: Schema = object({
  ID: text,
  Containers: count,
  ContainersRunning: count,
  ContainersPaused: count,
  ContainersStopped: count,
  Images: count,
  Driver: text,
  DriverStatus: { type: 'array', items: texts },
  DockerRootDir: text,
  Plugins: object({ Volume: texts, Network: texts, Authorization: nullableTexts, Log: texts }),
  MemoryLimit: flag,
  SwapLimit: flag,
  CpuCfsPeriod: flag,
  CpuCfsQuota: flag,
  CPUShares: flag,
  CPUSet: flag,
  PidsLimit: flag,
  KernelMemoryTCP: { ...flag, optional: true },
  OomKillDisable: flag,
  IPv4Forwarding: flag,
  Debug: flag,
  NFd: count,
  NGoroutines: count,
  SystemTime: text,
  LoggingDriver: text,
  CgroupDriver: { type: 'string', oneOf: ['cgroupfs', 'systemd', 'none'] },
  CgroupVersion: { type: 'string', oneOf: ['1', '2'] },
  NEventsListener: count,
  KernelVersion: text,
  OperatingSystem: text,
  OSVersion: text,
  OSType: { type: 'string', oneOf: ['linux'] },
  Architecture: text,
  NCPU: count,
  MemTotal: count,
  IndexServerAddress: text,
  RegistryConfig: object({
    InsecureRegistryCIDRs: texts,
    IndexConfigs: {
      type: 'object',
      values: object({ Name: text, Mirrors: texts, Secure: flag, Official: flag }),
    },
    Mirrors: nullableTexts,
  }),
  GenericResources: { type: 'array', nullable: true },
  HttpProxy: text,
  HttpsProxy: text,
  NoProxy: text,
  Name: text,
  Labels: texts,
  ExperimentalBuild: flag,
  ServerVersion: text,
  Runtimes: {
    type: 'object',
    values: object({
      path: text,
      runtimeArgs: { ...texts, optional: true },
      status: { type: 'object', values: text, optional: true },
    }),
  },
  DefaultRuntime: text,
  Swarm: object({
    NodeID: text,
    NodeAddr: text,
    LocalNodeState: { type: 'string', oneOf: ['inactive'] },
    ControlAvailable: flag,
    Error: text,
    RemoteManagers: { type: 'array', nullable: true },
    Nodes: { ...count, optional: true },
    Managers: { ...count, optional: true },
    Cluster: { type: 'object', optional: true, nullable: true },
  }),
  LiveRestoreEnabled: flag,
  Isolation: text,
  InitBinary: text,
  ContainerdCommit: commit,
  RuncCommit: commit,
  InitCommit: commit,
  SecurityOptions: texts,
  ProductLicense: { ...text, optional: true },
  DefaultAddressPools: {
    type: 'array',
    optional: true,
    items: object({ Base: text, Size: count }),
  },
  FirewallBackend: object({ Driver: text, Info: { type: 'array', items: texts, optional: true } }),
  DiscoveredDevices: { type: 'array', optional: true, items: object({ Source: text, ID: text }) },
  Warnings: nullableTexts,
  CDISpecDirs: texts,
  Containerd: {
    type: 'object',
    optional: true,
    properties: { Address: text, Namespaces: object({ Containers: text, Plugins: text }) },
  },
});

/** What is wrong with the value, by path; empty when it fits. Keys that the schema does not know are wrong too. */
export function problemsOf(value: Json | undefined, schema: Schema, path = ''): string[] {
  if (value === undefined) return schema.optional ? [] : [`${path}: missing`];
  if (value === null) return schema.nullable ? [] : [`${path}: null`];
  const type = Array.isArray(value) ? 'array' : typeof value === 'number' ? 'integer' : typeof value;
  if (type !== schema.type) return [`${path}: ${type} instead of ${schema.type}`];
  if (typeof value === 'number' && !Number.isInteger(value)) return [`${path}: ${value} is no integer`];
  if (typeof value === 'string' && schema.oneOf !== undefined && !schema.oneOf.includes(value)) {
    return [`${path}: ${value}`];
  }
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? [] : value.flatMap((entry, i) => problemsOf(entry, items, `${path}[${i}]`));
  }
  return typeof value === 'object' ? membersOf(value, schema, path) : [];
}

function membersOf(value: { [key: string]: Json }, schema: Schema, path: string): string[] {
  const { properties, values } = schema;
  if (values !== undefined) return Object.entries(value).flatMap(([k, v]) => problemsOf(v, values, `${path}.${k}`));
  if (properties === undefined) return [];
  const unknown = Object.keys(value).filter((key) => properties[key] === undefined);
  return [
    ...unknown.map((key) => `${path}.${key}: not in the documentation`),
    ...Object.entries(properties).flatMap(([key, member]) => problemsOf(value[key], member, `${path}.${key}`)),
  ];
}
