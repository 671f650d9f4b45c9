/**
 * Checks a create request before anything is made. Every field of Config and HostConfig is either honoured or refused
 * by name; a field counts as asked for only when its value is not what the stock CLI sends unasked.
 */
import { isIP } from 'node:net';
import * as path from 'node:path/posix';
import type { ContainerConfig } from '#api/types/container.ts';
import type { HostConfig } from '#api/types/host-config.ts';
import type { NetworkingConfig } from '#api/types/network.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { parseBytes } from '#pkg/units/size.ts';
import { normaliseCapabilities } from './capabilities.ts';
import { egressOf } from './network-policy.ts';
import { wishOf } from './network-wish.ts';
import type { NetworkWish } from './network-wish.ts';
import { checkResources, type CpuFacts } from './resources.ts';
import { checkExtensionLabels } from './extension-labels.ts';
import { probeTestOf } from './health.ts';
import { checkRestartPolicy } from './restart-policy.ts';
import { parseSecurityOptions } from './security-opt.ts';
import { parseSignal } from './signals.ts';
import { checkSysctls } from './sysctls.ts';
import { parseUsernsMode } from './user-namespace.ts';

const HOSTNAME_BYTES_MAX = 63;

/** Returns the config with a clean WorkingDir. */
export function checkConfig(config: ContainerConfig): ContainerConfig {
  for (const entry of config.Env ?? []) {
    if (entry === '' || entry.startsWith('=')) throw invalidParameter(`invalid environment variable: ${entry}`);
    if (entry.includes('\0')) throw invalidParameter('invalid environment variable: it contains a NUL byte');
  }
  const words = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (words.some((word) => word.includes('\0'))) throw invalidParameter('invalid command: it contains a NUL byte');
  if ((config.StopSignal ?? '') !== '') parseSignal(config.StopSignal ?? '');
  if (Buffer.byteLength(config.Hostname) > HOSTNAME_BYTES_MAX) {
    throw invalidParameter(`invalid hostname: "${config.Hostname}": it is longer than ${HOSTNAME_BYTES_MAX} bytes`);
  }
  checkHealthcheck(config);
  checkExtensionLabels(config.Labels);
  for (const port of Object.keys(config.ExposedPorts ?? {})) checkPort(port);
  return { ...config, WorkingDir: cleanWorkingDir(config.WorkingDir) };
}

function cleanWorkingDir(directory: string): string {
  if (directory === '') return '';
  if (!directory.startsWith('/')) {
    throw invalidParameter(`the working directory '${directory}' is invalid, it needs to be an absolute path`);
  }
  return path.resolve('/', directory);
}

function checkPort(port: string): void {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(port);
  const numbers = [match?.[1], match?.[2] ?? match?.[1]].map(Number);
  if (match === null || numbers.some((n) => !(n <= 65535)))
    throw invalidParameter(`invalid port specification: "${port}"`);
}

const NANOSECONDS_PER_MILLISECOND = 1_000_000;

function checkHealthcheck(config: ContainerConfig): void {
  const health = config.Healthcheck;
  if (health === undefined) return;
  for (const field of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value = health[field] ?? 0;
    if (value !== 0 && value < NANOSECONDS_PER_MILLISECOND) {
      throw invalidParameter(`${field} in Healthcheck cannot be less than 1ms`);
    }
  }
  if ((health.Retries ?? 0) < 0) throw invalidParameter('Retries in Healthcheck cannot be negative');
  probeTestOf(health.Test ?? []);
}

export interface HostFacts extends CpuFacts {
  readonly cgroupVersion: 1 | 2;
  /** Names that HostConfig.Runtime may have. */
  readonly runtimes: readonly string[];
}

export function checkHostConfig(host: HostConfig, config: ContainerConfig, facts: HostFacts): void {
  checkRestartPolicy(host.RestartPolicy, host.AutoRemove);
  normaliseCapabilities(host.CapAdd ?? [], 'CapAdd');
  normaliseCapabilities(host.CapDrop ?? [], 'CapDrop');
  parseSecurityOptions(host.SecurityOpt ?? []);
  checkResources(host, facts);
  checkModes(host, config);
  checkSysctls(host);
  checkRefused(host);
  checkPortBindings(host);
  checkDevices(host);
  rootSizeOf(host);
  if (Object.hasOwn(host.Annotations ?? {}, '')) {
    throw invalidParameter('invalid Annotations: the empty string is not permitted as an annotation key');
  }
  for (const extra of host.ExtraHosts ?? []) checkExtraHost(extra);
  for (const server of host.Dns ?? []) {
    if (isIP(server) === 0) throw invalidParameter(`Dns: ${JSON.stringify(server)} is not an IP address`);
  }
  if (host.ShmSize < 0) throw invalidParameter('SHM size can not be less than 0');
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000) {
    throw invalidParameter(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  }
  const runtime = host.Runtime ?? '';
  if (runtime !== '' && !facts.runtimes.includes(runtime)) {
    throw invalidParameter(`unknown or invalid runtime name: ${runtime}`);
  }
}

function checkModes(host: HostConfig, config: ContainerConfig): void {
  if (!validMode(host.IpcMode, ['', 'none', 'private', 'shareable', 'host'])) {
    throw invalidParameter(`invalid IPC mode: ${host.IpcMode}`);
  }
  if (!validMode(host.PidMode, ['', 'host'])) throw invalidParameter(`invalid PID mode: ${host.PidMode}`);
  if (!['', 'host'].includes(host.UTSMode)) throw invalidParameter(`invalid UTS mode: ${host.UTSMode}`);
  parseUsernsMode(host.UsernsMode);
  if (!['', 'host', 'private'].includes(host.CgroupnsMode)) {
    throw invalidParameter(`invalid cgroup namespace mode: ${host.CgroupnsMode}`);
  }
  if (!['', 'default'].includes(host.Isolation))
    throw invalidParameter(`invalid isolation (${host.Isolation}): linux only supports 'default'`);
  if (host.UTSMode === 'host' && config.Hostname !== '') {
    throw invalidParameter('conflicting options: hostname and the UTS mode');
  }
  const network = parseNetworkMode(host.NetworkMode);
  if (egressOf(config.Labels) !== undefined && (network.kind === 'container' || network.kind === 'host')) {
    throw invalidParameter('conflicting options: an egress policy and the network mode');
  }
  if (network.kind === 'host' && (host.Links ?? []).length > 0) {
    throw invalidParameter(
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    );
  }
  if (network.kind === 'host' && (config.MacAddress ?? '') !== '') {
    throw invalidParameter('conflicting options: mac-address and the network mode');
  }
  if (network.kind === 'container') checkSharedNetwork(config, host);
}

/** What belongs to the network that another container has brought. In dockerd's order. */
function checkSharedNetwork(config: ContainerConfig, host: HostConfig): void {
  const publishes = host.PublishAllPorts || Object.keys(host.PortBindings ?? {}).length > 0;
  const conflicts: readonly (readonly [asked: boolean, what: string])[] = [
    [config.Hostname !== '', 'hostname and the network mode'],
    [
      (host.Links ?? []).length > 0,
      "container type network can't be used with links. This would result in undefined behavior",
    ],
    [(host.Dns ?? []).length > 0, 'dns and the network mode'],
    [(host.ExtraHosts ?? []).length > 0, 'custom host-to-IP mapping and the network mode'],
    [(config.MacAddress ?? '') !== '', 'mac-address and the network mode'],
    [publishes, 'port publishing and the container type network mode'],
  ];
  for (const [asked, what] of conflicts) if (asked) throw invalidParameter(`conflicting options: ${what}`);
}

function validMode(mode: string, plain: readonly string[]): boolean {
  return plain.includes(mode) || (mode.startsWith('container:') && mode.length > 'container:'.length);
}

export type NetworkMode =
  | { readonly kind: 'none' | 'host' | 'bridge' }
  | { readonly kind: 'network'; readonly network: string }
  | { readonly kind: 'container'; readonly container: string };

/** Errors: invalid-parameter. */
export function parseNetworkMode(mode: string): NetworkMode {
  if (mode === '' || mode === 'default' || mode === 'bridge') return { kind: 'bridge' };
  if (mode === 'none' || mode === 'host') return { kind: mode };
  if (mode === 'container' || mode.startsWith('container:')) {
    const container = mode.slice('container:'.length);
    if (container === '') throw invalidParameter('invalid network mode: invalid container format container:<name|id>');
    return { kind: 'container', container };
  }
  return { kind: 'network', network: mode };
}

/** The container that `container:X` of a mode names. */
export function containerOfMode(mode: string): string | undefined {
  return mode.startsWith('container:') ? mode.slice('container:'.length) : undefined;
}

/** What later work brings; each is refused by its name when it is asked for. */
function checkRefused(host: HostConfig): void {
  const refuse = (asked: boolean, field: string, why: string): void => {
    if (asked) throw notImplemented(`${field} is not supported yet: ${why}`);
  };
  refuse(host.Cgroup !== '', 'Cgroup', 'a cgroup of another container');
}

/** '80/tcp' → { HostIp, HostPort }: a port, a range from which one is taken, or '' for any. */
export function checkPortBindings(host: Pick<HostConfig, 'PortBindings'>): void {
  for (const [spec, bindings] of Object.entries(host.PortBindings ?? {})) {
    checkPort(spec);
    for (const { HostIp: ip, HostPort: port } of bindings ?? []) {
      if (ip !== '' && isIP(ip) === 0) throw invalidParameter(`invalid IP address: ${ip}`);
      const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(port) ?? [];
      const valid = port === '' || (Number(from) <= Number(to) && Number(to) <= 65_535);
      if (!valid) throw invalidParameter(`invalid port specification: "${port}"`);
    }
  }
}

/**
 * The networks that a new container is to be on, by name: those of NetworkingConfig and no other, also when the mode's is
 * not among them; without any, that of its mode. Errors: invalid-parameter.
 */
export function networkWishes(
  networking: NetworkingConfig,
  mode: string,
  mac: string,
): Readonly<Record<string, NetworkWish>> {
  if (containerOfMode(mode) !== undefined) {
    const more = Object.keys(networking.EndpointsConfig ?? {});
    if (more.length > 0)
      throw invalidParameter('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
    return {};
  }
  const asked = { ...networking.EndpointsConfig };
  const first = mode === '' || mode === 'default' ? 'bridge' : mode;
  // What the stock CLI sends unasked: the options of whatever the default is.
  const { default: unnamed } = asked;
  if (unnamed !== undefined) asked[first] ??= unnamed;
  delete asked['default'];
  const others = Object.keys(asked).filter((name) => name !== first);
  if (others.length > 0 && (first === 'host' || first === 'none')) {
    throw invalidParameter('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
  }
  const names = asked[first] === undefined && others.length > 0 ? others : [first, ...others];
  return Object.fromEntries(names.map((name) => [name, wishOf('', asked[name] ?? null, name === first ? mac : '')]));
}

const devicePermissions = /^[rwm]{1,3}$/;
const deviceRule = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/;

function checkDevices(host: HostConfig): void {
  for (const device of host.Devices ?? []) {
    if (!device.PathOnHost.startsWith('/')) {
      throw invalidParameter(`invalid device "${device.PathOnHost}": the path must be absolute`);
    }
    if (device.CgroupPermissions !== '' && !devicePermissions.test(device.CgroupPermissions)) {
      throw invalidParameter(`invalid device mode: ${device.CgroupPermissions}`);
    }
  }
  for (const rule of host.DeviceCgroupRules ?? []) {
    if (!deviceRule.test(rule)) throw invalidParameter(`invalid device cgroup rule format: '${rule}'`);
  }
}

/** `--storage-opt size=`: most bytes that the container may write into its root; undefined: no limit. */
export function rootSizeOf(host: Pick<HostConfig, 'StorageOpt'>): number | undefined {
  let bytes: number | undefined;
  for (const [name, value] of Object.entries(host.StorageOpt ?? {})) {
    if (name !== 'size') throw invalidParameter(`Unknown option ${name}`);
    bytes = parseBytes(value);
    if (bytes <= 0) throw invalidParameter(`invalid size: "${value}"`);
  }
  return bytes;
}

function checkExtraHost(extra: string): void {
  const at = extra.search(/[:=]/);
  if (at <= 0 || at === extra.length - 1) throw invalidParameter(`bad format for add-host: "${extra}"`);
  const address = extra.slice(at + 1).replace(/^\[(.*)\]$/, '$1');
  if (address !== 'host-gateway' && isIP(address) === 0)
    throw invalidParameter(`invalid IP address in add-host: "${extra.slice(at + 1)}"`);
}
