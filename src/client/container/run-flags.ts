/** Flags of `run` and `create`, with docker's names, shorthands and help. What each means is in create-body.ts. */
import { contentTrustFlag, detachKeysFlag } from '../common-flags.ts';
import { bytes, type FlagSpec, flag, integer, list, nanoDecimal, refused, text, unsigned } from '../flags/flag-spec.ts';
import {
  parseDeviceRule,
  parseLimit,
  parseLink,
  parseStreams,
  parseSysctl,
  parseThrottle,
  parseWeight,
} from './flag-values.ts';
import { parseGpus } from './device-request.ts';
import { EXTENSION_FLAGS, HEALTH_FLAGS } from './health-options.ts';
import { checkHost, checkServer } from './hosts.ts';
import { parseMount } from './mount-option.ts';
import { parseNetwork } from './network-option.ts';
import { parseSecret } from './secret-option.ts';
import { checkVariable } from './variables.ts';

/** Each occurrence parsed into one value of a list. */
function many<T>(help: string, parse: (text: string) => T, typeName: string): FlagSpec<readonly T[]> {
  return {
    shorthand: '',
    help,
    typeName,
    initial: [],
    shownDefault: '',
    standsAlone: false,
    hidden: false,
    parse: (value, previous) => [...previous, parse(value)],
  };
}

/** In docker's words, where the platform of the daemon has no such thing. */
function windowsOnly(name: string): FlagSpec<string> {
  return refused(
    `"--${name}" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`,
  );
}

const LIMITS = {
  'blkio-weight': unsigned('Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)', 16),
  'blkio-weight-device': many('Block IO weight (relative device weight)', parseWeight, 'list'),
  'cpu-count': windowsOnly('cpu-count'),
  'cpu-percent': windowsOnly('cpu-percent'),
  'cpu-period': integer('Limit CPU CFS (Completely Fair Scheduler) period'),
  'cpu-quota': integer('Limit CPU CFS (Completely Fair Scheduler) quota'),
  'cpu-rt-period': integer('Limit CPU real-time period in microseconds'),
  'cpu-rt-runtime': integer('Limit CPU real-time runtime in microseconds'),
  'cpu-shares': integer('CPU shares (relative weight)', { shorthand: 'c' }),
  cpus: nanoDecimal('Number of CPUs'),
  'cpuset-cpus': text('CPUs in which to allow execution (0-3, 0,1)'),
  'cpuset-mems': text('MEMs in which to allow execution (0-3, 0,1)'),
  device: list('Add a host device to the container'),
  'device-cgroup-rule': list('Add a rule to the cgroup allowed devices list', { check: parseDeviceRule }),
  'device-read-bps': many('Limit read rate (bytes per second) from a device', (t) => parseThrottle(t, true), 'list'),
  'device-read-iops': many('Limit read rate (IO per second) from a device', (t) => parseThrottle(t, false), 'list'),
  'device-write-bps': many('Limit write rate (bytes per second) to a device', (t) => parseThrottle(t, true), 'list'),
  'device-write-iops': many('Limit write rate (IO per second) to a device', (t) => parseThrottle(t, false), 'list'),
  gpus: many("GPU devices to add to the container ('all' to pass all GPUs)", parseGpus, 'gpu-request'),
  'io-maxbandwidth': windowsOnly('io-maxbandwidth'),
  'io-maxiops': windowsOnly('io-maxiops'),
  'kernel-memory': bytes('Without effect: kernels have no such limit any more', { hidden: true }),
  memory: bytes('Memory limit', { shorthand: 'm' }),
  'memory-reservation': bytes('Memory soft limit'),
  'memory-swap': bytes("Swap limit equal to memory plus swap: '-1' to enable unlimited swap", { allowUnlimited: true }),
  'memory-swappiness': integer('Tune container memory swappiness (0 to 100)', { initial: -1 }),
  'oom-kill-disable': flag('Disable OOM Killer'),
  'oom-score-adj': integer("Tune host's OOM preferences (-1000 to 1000)"),
  'pids-limit': integer('Tune container pids limit (set -1 for unlimited)'),
  'shm-size': bytes('Size of /dev/shm'),
  ulimit: many('Ulimit options', parseLimit, 'ulimit'),
};

const NETWORK = {
  'add-host': list('Add a custom host-to-IP mapping (host:ip)', { check: checkHost }),
  dns: list('Set custom DNS servers', { check: checkServer }),
  'dns-opt': list('Set DNS options', { hidden: true }),
  'dns-option': list('Set DNS options'),
  'dns-search': list('Set custom DNS search domains'),
  domainname: text('Container NIS domain name'),
  expose: list('Expose a port or a range of ports'),
  hostname: text('Container host name', { shorthand: 'h' }),
  ip: text('IPv4 address (e.g., 172.30.100.104)'),
  ip6: text('IPv6 address (e.g., 2001:db8::33)'),
  link: list('Add link to another container', { check: parseLink }),
  'link-local-ip': list('Container IPv4/IPv6 link-local addresses'),
  'mac-address': text('Container MAC address (e.g., 92:d0:c6:0a:29:33)'),
  network: many('Connect a container to a network', parseNetwork, 'network'),
  net: { ...many('Connect a container to a network', parseNetwork, 'network'), hidden: true },
  'net-alias': list('Add network-scoped alias for the container', { hidden: true }),
  'network-alias': list('Add network-scoped alias for the container'),
  publish: list("Publish a container's port(s) to the host", { shorthand: 'p' }),
  'publish-all': flag('Publish all exposed ports to random ports', { shorthand: 'P' }),
};

const SECURITY = {
  'cap-add': list('Add Linux capabilities'),
  'cap-drop': list('Drop Linux capabilities'),
  'cgroup-parent': text('Optional parent cgroup for the container'),
  cgroupns: text('Cgroup namespace to use (host|private)'),
  'group-add': list('Add additional groups to join'),
  ipc: text('IPC mode to use'),
  isolation: text('Container isolation technology'),
  pid: text('PID namespace to use'),
  privileged: flag('Give extended privileges to this container'),
  runtime: text('Runtime to use for this container'),
  'security-opt': list('Security Options'),
  sysctl: list('Sysctl options', { typeName: 'map', check: parseSysctl }),
  'use-api-socket': flag('Bind mount Docker API socket and required auth'),
  user: text('Username or UID (format: <name|uid>[:<group|gid>])', { shorthand: 'u' }),
  userns: text('User namespace to use'),
  uts: text('UTS namespace to use'),
};

const STORAGE = {
  mount: many('Attach a filesystem mount to the container', parseMount, 'mount'),
  'read-only': flag("Mount the container's root filesystem as read only"),
  secret: many('Give the container a secret (NAME[,type=mount|env,target=,uid=,gid=,mode=])', parseSecret, 'secret'),
  'storage-opt': list('Storage driver options for the container'),
  tmpfs: list('Mount a tmpfs directory'),
  volume: list('Bind mount a volume', { shorthand: 'v' }),
  'volume-driver': text('Optional volume driver for the container'),
  'volumes-from': list('Mount volumes from the specified container(s)'),
};

const PROCESS = {
  annotation: list('Add an annotation to the container (passed through to the OCI runtime)', { typeName: 'map' }),
  attach: list('Attach to STDIN, STDOUT or STDERR', { shorthand: 'a', check: parseStreams }),
  cidfile: text('Write the container ID to the file'),
  'disable-content-trust': contentTrustFlag(),
  entrypoint: text('Overwrite the default ENTRYPOINT of the image'),
  env: list('Set environment variables', { shorthand: 'e', check: checkVariable }),
  'env-file': list('Read in a file of environment variables'),
  init: flag('Run an init inside the container that forwards signals and reaps processes'),
  interactive: flag('Keep STDIN open even if not attached', { shorthand: 'i' }),
  label: list('Set meta data on a container', { shorthand: 'l' }),
  'label-file': list('Read in a line delimited file of labels'),
  'log-driver': text('Logging driver for the container'),
  'log-opt': list('Log driver options'),
  name: text('Assign a name to the container'),
  platform: text('Set platform if server is multi-platform capable'),
  pull: text('Pull image before running ("always", "missing", "never")', { initial: 'missing' }),
  quiet: flag('Suppress the pull output', { shorthand: 'q' }),
  replace: flag('Remove a container of the same name first, with force; needs --name'),
  restart: text('Restart policy to apply when a container exits', { initial: 'no' }),
  rm: flag('Automatically remove the container and its associated anonymous volumes when it exits'),
  'stop-signal': text('Signal to stop the container'),
  'stop-timeout': integer('Timeout (in seconds) to stop a container'),
  tty: flag('Allocate a pseudo-TTY', { shorthand: 't' }),
  workdir: text('Working directory inside the container', { shorthand: 'w' }),
};

export const CREATE_FLAGS = {
  ...LIMITS,
  ...NETWORK,
  ...SECURITY,
  ...STORAGE,
  ...HEALTH_FLAGS,
  ...EXTENSION_FLAGS,
  ...PROCESS,
};

export const RUN_FLAGS = {
  ...CREATE_FLAGS,
  detach: flag('Run container in background and print container ID', { shorthand: 'd' }),
  'detach-keys': detachKeysFlag(),
  'sig-proxy': flag('Proxy received signals to the process', { initial: true }),
};
