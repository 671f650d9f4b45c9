/**
 * What a machine must have for Berth, and should: each check reads a few files and says what it found, why it matters
 * and what mends it. No check changes anything.
 */

/** What the checks look at; tests have one of their own. */
export interface Machine {
  /** Trimmed content; '' when it cannot be read. */
  read(file: string): string;
  exists(file: string): boolean;
  /** Bytes free for the superuser's data below a path; undefined when it cannot be told. */
  freeBytes(path: string): number | undefined;
  readonly uid: number;
}

export type Verdict = 'ok' | 'warning' | 'failure';

export interface Finding {
  readonly name: string;
  readonly verdict: Verdict;
  readonly found: string;
  /** What goes wrong because of it; '' when all is well. */
  readonly why: string;
  /** The command, or the words, that mend it. */
  readonly fix: string;
}

const ok = (name: string, found: string): Finding => ({ name, verdict: 'ok', found, why: '', fix: '' });
const warning = (name: string, found: string, why: string, fix: string): Finding => ({
  name,
  verdict: 'warning',
  found,
  why,
  fix,
});
const failure = (name: string, found: string, why: string, fix: string): Finding => ({
  name,
  verdict: 'failure',
  found,
  why,
  fix,
});

type Check = (machine: Machine) => Finding;

const LEAST_KERNEL = [5, 15] as const;

const kernel: Check = (machine) => {
  const release = machine.read('/proc/sys/kernel/osrelease');
  const [major = 0, minor = 0] = release.split('.').map(Number);
  const enough = major > LEAST_KERNEL[0] || (major === LEAST_KERNEL[0] && minor >= LEAST_KERNEL[1]);
  if (enough) return ok('kernel', release);
  return failure(
    'kernel',
    release,
    'detached and id-mapped mounts need Linux 5.15',
    'Install a newer kernel of your distribution',
  );
};

const overlay: Check = (machine) => {
  if (/\boverlay$/m.test(machine.read('/proc/filesystems'))) return ok('overlayfs', 'there');
  const release = machine.read('/proc/sys/kernel/osrelease');
  if (machine.exists(`/lib/modules/${release}/kernel/fs/overlayfs`))
    return ok('overlayfs', 'a module that is loaded when needed');
  return warning(
    'overlayfs',
    'not there',
    'without it layers are copied: slow, and much more disk',
    'modprobe overlay',
  );
};

const CONTROLLERS = ['cpu', 'cpuset', 'io', 'memory', 'pids'];

const cgroups: Check = (machine) => {
  const unified = machine.read('/sys/fs/cgroup/cgroup.controllers');
  if (machine.exists('/sys/fs/cgroup/cgroup.controllers')) {
    const missing = CONTROLLERS.filter((one) => !unified.split(' ').includes(one));
    if (missing.length === 0) return ok('cgroups', `version 2: ${unified}`);
    return warning(
      'cgroups',
      `version 2 without ${missing.join(', ')}`,
      'limits of these kinds are refused',
      `Boot with cgroup_enable=${missing.join(',')}`,
    );
  }
  const mounted = ['cpu', 'memory', 'pids'].filter((one) => machine.exists(`/sys/fs/cgroup/${one}`));
  if (mounted.length === 3) return ok('cgroups', 'version 1');
  if (mounted.length > 0) {
    return warning(
      'cgroups',
      `version 1, only ${mounted.join(', ')}`,
      'limits of other kinds are refused',
      'Boot with systemd.unified_cgroup_hierarchy=1',
    );
  }
  return failure(
    'cgroups',
    'no hierarchy below /sys/fs/cgroup',
    'containers cannot be limited or stopped as a whole',
    'mount -t cgroup2 cgroup2 /sys/fs/cgroup',
  );
};

const seccomp: Check = (machine) => {
  if (machine.exists('/proc/sys/kernel/seccomp/actions_avail')) return ok('seccomp', 'there');
  return failure(
    'seccomp',
    'not in this kernel',
    'system calls cannot be filtered, so no container is started with the default profile',
    'Use a kernel with CONFIG_SECCOMP_FILTER',
  );
};

const apparmor: Check = (machine) => {
  if (machine.read('/sys/module/apparmor/parameters/enabled') !== 'Y')
    return ok('AppArmor', 'not enabled (seccomp and capabilities are)');
  if (machine.exists('/usr/sbin/apparmor_parser') || machine.exists('/sbin/apparmor_parser'))
    return ok('AppArmor', 'enabled');
  return warning(
    'AppArmor',
    'enabled, but there is no apparmor_parser',
    'the profile of containers cannot be loaded',
    'apt-get install apparmor',
  );
};

const LIBRARY_FOLDERS = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/usr/local/lib'].flatMap((folder) => [
  folder,
  `${folder}/x86_64-linux-gnu`,
  `${folder}/aarch64-linux-gnu`,
]);

const library =
  (file: string, purpose: string, debianPackage: string): Check =>
  (machine) => {
    const at = LIBRARY_FOLDERS.map((folder) => `${folder}/${file}`).find((path) => machine.exists(path));
    if (at !== undefined) return ok(file, at);
    return failure(file, 'not found', purpose, `apt-get install ${debianPackage}`);
  };

const nftables: Check = (machine) => {
  const release = machine.read('/proc/sys/kernel/osrelease');
  const loaded = /^nf_tables /m.test(machine.read('/proc/modules'));
  const builtIn = machine.read(`/lib/modules/${release}/modules.builtin`).includes('/nf_tables.ko');
  const loadable = machine.read(`/lib/modules/${release}/modules.dep`).includes('/nf_tables.ko');
  if (loaded || builtIn || loadable) return ok('nf_tables', loaded ? 'loaded' : builtIn ? 'in the kernel' : 'a module');
  if (machine.exists('/proc/net/netfilter')) return ok('nf_tables', 'netfilter is there (no list of modules to ask)');
  return warning(
    'nf_tables',
    'not found',
    'without it there are no published ports and no way out of bridges',
    'modprobe nf_tables',
  );
};

const forwarding: Check = (machine) => {
  const on = machine.read('/proc/sys/net/ipv4/ip_forward') === '1';
  if (on) return ok('IP forwarding', 'on');
  return warning(
    'IP forwarding',
    'off',
    'containers on bridges reach nothing beyond this machine; the daemon turns it on unless ip-forward is false',
    'sysctl -w net.ipv4.ip_forward=1',
  );
};

const userNamespaces: Check = (machine) => {
  const most = Number(machine.read('/proc/sys/user/max_user_namespaces') || '0');
  if (most > 0) return ok('user namespaces', `up to ${most}`);
  return warning(
    'user namespaces',
    'none allowed',
    '--userns auto and userns-remap are refused',
    'sysctl -w user.max_user_namespaces=15000',
  );
};

const LEAST_INSTANCES = 512;

const inotify: Check = (machine) => {
  const most = Number(machine.read('/proc/sys/fs/inotify/max_user_instances') || '0');
  if (most >= LEAST_INSTANCES) return ok('inotify', `${most} instances a user`);
  return warning(
    'inotify',
    `${most} instances a user`,
    'programs in many containers share this number: some will fail to watch files',
    `sysctl -w fs.inotify.max_user_instances=${LEAST_INSTANCES}`,
  );
};

const GIB = 2 ** 30;
const LITTLE_BYTES = 5 * GIB;
const NEXT_TO_NOTHING_BYTES = GIB / 2;

const disk =
  (dataRoot: string): Check =>
  (machine) => {
    const free = machine.freeBytes(dataRoot);
    if (free === undefined) return ok('disk', `${dataRoot} is not there yet`);
    const found = `${(free / GIB).toFixed(1)} GiB free at ${dataRoot}`;
    if (free >= LITTLE_BYTES) return ok('disk', found);
    const fix = 'berth system df; berth system prune';
    return free >= NEXT_TO_NOTHING_BYTES
      ? warning('disk', found, 'images and logs will fill it soon', fix)
      : failure('disk', found, 'pulls, builds and starts will fail', fix);
  };

/** This program is not older than its own source. */
const NOT_BEFORE_MS = Date.UTC(2026, 0, 1);

const clock =
  (nowMs: number): Check =>
  () => {
    const found = new Date(nowMs).toISOString();
    if (nowMs >= NOT_BEFORE_MS) return ok('clock', found);
    return failure(
      'clock',
      found,
      'certificates of registries are not valid yet at this time',
      'timedatectl set-ntp true',
    );
  };

const socket =
  (path: string): Check =>
  (machine) => {
    if (!machine.exists(path)) {
      return failure(
        'socket',
        `${path} is not there`,
        'no daemon runs, or it listens elsewhere',
        'systemctl start berth.socket, or: berth daemon',
      );
    }
    if (machine.uid === 0) return ok('socket', path);
    return ok('socket', `${path} (who may use it is root on this machine)`);
  };

export interface CheckOptions {
  readonly dataRoot: string;
  /** Of a daemon of this machine; undefined: it is elsewhere. */
  readonly socket: string | undefined;
  readonly nowMs: number;
}

export function findings(machine: Machine, options: CheckOptions): Finding[] {
  const checks: Check[] = [
    kernel,
    cgroups,
    overlay,
    seccomp,
    apparmor,
    userNamespaces,
    library('libseccomp.so.2', 'the system call filter is compiled by it', 'libseccomp2'),
    library('libnftables.so.1', 'networks and published ports are made by it', 'libnftables1'),
    nftables,
    forwarding,
    inotify,
    disk(options.dataRoot),
    clock(options.nowMs),
    ...(options.socket === undefined ? [] : [socket(options.socket)]),
  ];
  return checks.map((check) => check(machine));
}
