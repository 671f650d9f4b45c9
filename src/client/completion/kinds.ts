/** What the operands of commands and the values of flags name. */

/** Something that the daemon, the context store or the file system lists. */
export type Kind =
  | 'none'
  | 'files'
  | 'containers'
  | 'running'
  | 'stopped'
  | 'paused'
  | 'container-path'
  | 'images'
  | 'networks'
  | 'network-modes'
  | 'namespaces'
  | 'volumes'
  | 'volume-or-path'
  | 'secrets'
  | 'contexts'
  | 'jobs'
  | 'everything';

const RUNNING = new Set(['attach', 'exec', 'kill', 'pause', 'port', 'stats', 'stop', 'top']);

/** `path`: the command as typed; `operands`: its usage (`CONTAINER [CONTAINER...]`); `index`: from 0. */
export function operandKind(path: string, operands: string, index: number): Kind {
  const verb = path.slice(path.lastIndexOf(' ') + 1);
  const words = (operands.split('\n')[0] ?? '').split(' ').filter((word) => word !== '');
  const repeats = words.at(-1)?.includes('...') === true;
  const word = words[index] ?? (repeats ? words.at(-1) : undefined);
  if (verb === 'cp') return index < 2 ? 'container-path' : 'none';
  if (word === undefined) return 'none';
  const name = word.replace(/^\[+/, '').replace(/[\].]+$/, '');
  if (/^CONTAINER\b/.test(name)) return ofContainers(verb);
  if (/^(?:IMAGE|SOURCE_IMAGE|TARGET_IMAGE|REPOSITORY|NAME\[:TAG)/.test(name)) return 'images';
  if (/^NETWORK\b/.test(name)) return 'networks';
  if (/^VOLUME\b/.test(name)) return 'volumes';
  if (/^SECRET\b/.test(name)) return 'secrets';
  if (/^CONTEXT\b/.test(name)) return 'contexts';
  if (/^JOB\b/.test(name)) return 'jobs';
  if (name === 'NAME|ID') return 'everything';
  return /FILE|file|DIR|PATH|ARG|COMMAND/.test(name) ? 'files' : 'none';
}

function ofContainers(verb: string): Kind {
  if (verb === 'start') return 'stopped';
  if (verb === 'unpause') return 'paused';
  return RUNNING.has(verb) ? 'running' : 'containers';
}

const CAPABILITIES =
  `ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER
  FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW
  PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO
  SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM`.split(/\s+/);
const SIGNALS = ['HUP', 'INT', 'KILL', 'QUIT', 'STOP', 'TERM', 'USR1', 'USR2'];

const FLAGS: Readonly<Record<string, Kind | readonly string[]>> = {
  attach: ['stdin', 'stdout', 'stderr'],
  'cap-add': CAPABILITIES,
  'cap-drop': CAPABILITIES,
  cgroupns: ['host', 'private'],
  cidfile: 'files',
  config: 'files',
  context: 'contexts',
  'env-file': 'files',
  file: 'files',
  format: ['json', 'table'],
  from: 'contexts',
  iidfile: 'files',
  input: 'files',
  ipc: 'namespaces',
  'label-file': 'files',
  link: 'containers',
  'log-driver': ['fluentd', 'gelf', 'journald', 'json-file', 'local', 'none', 'syslog'],
  network: 'network-modes',
  net: 'network-modes',
  output: 'files',
  pid: 'namespaces',
  platform: [
    'linux/amd64',
    'linux/arm64',
    'linux/arm/v7',
    'linux/386',
    'linux/ppc64le',
    'linux/riscv64',
    'linux/s390x',
  ],
  progress: ['auto', 'plain', 'quiet', 'rawjson', 'tty'],
  pull: ['always', 'missing', 'never'],
  restart: ['always', 'no', 'on-failure', 'unless-stopped'],
  secret: 'secrets',
  'security-opt': [
    'apparmor=',
    'label=',
    'no-new-privileges',
    'seccomp=',
    'systempaths=unconfined',
    'writable-cgroups',
  ],
  signal: SIGNALS,
  'stop-signal': SIGNALS,
  tlscacert: 'files',
  tlscert: 'files',
  tlskey: 'files',
  type: ['container', 'image', 'network', 'secret', 'volume'],
  userns: ['auto', 'host'],
  uts: ['host'],
  volume: 'volume-or-path',
  'volumes-from': 'containers',
};

/** What the value of a flag may be: a kind of names, or these words. */
export function flagValueKind(name: string): Kind | readonly string[] {
  return Object.hasOwn(FLAGS, name) ? (FLAGS[name] ?? 'none') : 'none';
}
