/**
 * The list of a container's first process, in its order:
 *
 *  1. with the host's /proc and whole rights: streams, OOM score, label, cgroups, joined namespaces, second clone
 *  2. gate `maps` (user namespace), network socket and gate `network`, session
 *  3. the root is attached and everything mounted below it by descriptor; sysctls; gate `hooks`; masks
 *  4. pivot_root, working directory, and the end that every process has (process-steps.ts)
 */
import { AT, CLONE, MNT, MOVE_MOUNT, MS, NR, O, RESOLVE, SOCKET } from '#sys/numbers.ts';
import type { Gate, Program, Source } from '#sys/program.ts';
import type { LabelWrite } from './apparmor-label.ts';
import { InsideMounts, Slots } from './mounts/inside.ts';
import { addPersonality, addPriorities } from './process-extras.ts';
import {
  addCgroupJoin,
  addEnd,
  addSelfAttributes,
  addSession,
  addStdio,
  addWorkingDirectory,
  writeStep,
} from './process-steps.ts';
import type { CompiledSeccomp } from './seccomp/compile.ts';
import type { StartGates, StartParts } from './start-parts.ts';
import { checkSysctl, sysctlPath } from './sysctl.ts';

const NETLINK_ROUTE = 0;
const SIOCSIFFLAGS = 0x8914;
const IFREQ_BYTES = 40;
const IFF_UP = 1;
const OPEN_HOW_BYTES = 24;
const KERNEL_FILE_SYSTEM = 0xe; // MOUNT_ATTR NOSUID | NODEV | NOEXEC

const propagations: Readonly<Record<string, readonly [flag: number, recursive: boolean]>> = {
  private: [MS.PRIVATE, false],
  rprivate: [MS.PRIVATE, true],
  slave: [MS.SLAVE, false],
  rslave: [MS.SLAVE, true],
  shared: [MS.SHARED, false],
  rshared: [MS.SHARED, true],
  unbindable: [MS.UNBINDABLE, false],
  runbindable: [MS.UNBINDABLE, true],
};

interface Built {
  readonly gates: StartGates;
  readonly netlink: Source | undefined;
  readonly afterGates: number;
}

export function buildStart(
  program: Program,
  parts: StartParts,
  filter: CompiledSeccomp | undefined,
  label: LabelWrite | undefined,
): Built {
  const { request, plan, namespaces } = parts;
  const slots = new Slots(program);
  addStdio(program, parts.stdio);
  addSelfAttributes(program, plan, label);
  addCgroupJoin(program, request.cgroup?.join());
  addNamespaces(program, parts);

  const gates: { maps?: Gate; network?: Gate; hooks?: Gate } = {};
  if (namespaces.own.has('user')) gates.maps = program.gate('maps');
  if (parts.inUserNamespace) {
    program.do('become root of the user namespace: gid', NR.setresgid, 0, 0, 0);
    program.do('become root of the user namespace: uid', NR.setresuid, 0, 0, 0);
  }
  const netlink = addNetwork(program, parts, gates, slots.spare);
  addSession(program, request.id, parts.pty !== undefined);
  addHostname(program, parts);

  const inside = new InsideMounts(program, program.fd(request.rootfs), slots);
  addRoot(program, inside, request.attachAt ?? '/');
  const shared = addSysctls(inside, parts);
  parts.mounts.attach(inside, { proc: shared });
  addConsole(inside, parts);
  // Before the masks, as runc: what they are cloned from hides the host's /dev from the hooks.
  if (request.hooks === true) gates.hooks = program.gate('hooks');
  parts.restrictions.attach(inside);
  addPivot(program, inside, parts);
  addWorkingDirectory(program, inside.root, parts.cwd);
  addPersonality(program, request.spec.linux?.personality);
  addPriorities(program, parts.process);
  const { exec, afterGates } = addEnd(program, plan, filter, {
    startFifo: request.startFifo,
    limitsFromOutside: parts.inUserNamespace,
  });
  return { gates: { ...gates, exec }, netlink, afterGates };
}

function addNamespaces(program: Program, parts: StartParts): void {
  const { namespaces, joins, request } = parts;
  for (const [i, { type, flag }] of namespaces.joins.entries()) {
    const fd = joins[i];
    if (fd !== undefined) program.do(`join ${type} namespace`, NR.setns, program.fd(fd), flag);
  }
  if (namespaces.shiftClocks) {
    program.do('new time namespace', NR.unshare, CLONE.NEWTIME);
    const offsets = Object.entries(request.spec.linux?.timeOffsets ?? {});
    const lines = offsets.map(([clock, { secs = 0, nanosecs = 0 }]) => `${clock} ${secs} ${nanosecs}\n`);
    writeStep(program, 'shift clocks', '/proc/self/timens_offsets', lines.join(''));
  }
  if (namespaces.unshareCgroup) program.do('new cgroup namespace', NR.unshare, CLONE.NEWCGROUP);
  const cgroup = parts.cgroupFd;
  if (namespaces.secondFlags !== undefined)
    program.cloneAgain(
      'clone the container',
      namespaces.secondFlags,
      cgroup === undefined ? undefined : program.fd(cgroup),
    );
  else if (cgroup !== undefined) program.cloneIntoCgroup(cgroup);
}

/** A new network namespace: loopback up, and a socket through which it is configured from outside. */
function addNetwork(program: Program, parts: StartParts, gates: { network?: Gate }, slot: Source): Source | undefined {
  if (!parts.namespaces.own.has('network')) return undefined;
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(Buffer.from('lo'));
  request[16] = IFF_UP;
  const socket = program.do('socket', NR.socket, SOCKET.AF_INET, SOCKET.DGRAM | SOCKET.CLOEXEC, 0);
  program.doWith(socket, 'set loopback up', NR.ioctl, SIOCSIFFLAGS, program.bytes(request));
  if (!parts.request.network) return undefined;
  const flags = SOCKET.RAW | SOCKET.CLOEXEC;
  const netlink = program.do('netlink socket', NR.socket, SOCKET.AF_NETLINK, flags, NETLINK_ROUTE);
  program.doWith(netlink, 'keep netlink socket', NR.dup3, slot, O.CLOEXEC);
  gates.network = program.gate('network');
  return slot;
}

function addHostname(program: Program, parts: StartParts): void {
  const { hostname, domainname } = parts.request.spec;
  if (!parts.namespaces.own.has('uts')) return;
  for (const [what, nr, name] of [
    ['hostname', NR.sethostname, hostname],
    ['domain name', NR.setdomainname, domainname],
  ] as const) {
    if (name !== undefined && name !== '') program.do(`set ${what}`, nr, program.str(name), Buffer.byteLength(name));
  }
}

/** Above the host's root nothing of the host is hidden by the container's; below it, hooks find it by its path. */
function addRoot(program: Program, inside: InsideMounts, at: string): void {
  program.do('stop propagation to the host', NR.mount, 0, '/', 0, MS.REC | MS.SLAVE, 0);
  program.do('attach root', NR.move_mount, inside.root, '', AT.FDCWD, at, MOVE_MOUNT.F_EMPTY_PATH);
}

/**
 * Written through a procfs of our own that nobody else has seen (CVE-2025-52881). It becomes the container's /proc when
 * that is a plain one; true then.
 */
function addSysctls(inside: InsideMounts, parts: StartParts): boolean {
  const { program, slots } = inside;
  const sysctls = Object.entries(parts.request.spec.linux?.sysctl ?? {});
  const plain = parts.mounts.plainProcAttributes();
  if (sysctls.length === 0 && plain === undefined) return false;
  const proc = inside.make('proc', [['source', 'proc']], plain ?? KERNEL_FILE_SYSTEM, slots.proc);
  const how = BigUint64Array.of(BigInt(O.WRONLY | O.CLOEXEC), 0n, BigInt(RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS));
  const howAt = program.bytes(new Uint8Array(how.buffer));
  for (const [name, value] of sysctls) {
    checkSysctl(name, parts.namespaces.own);
    const open = program.do(`open sysctl ${name}`, NR.openat2, proc, sysctlPath(name), howAt, OPEN_HOW_BYTES);
    program.doWith(open, `set sysctl ${name}`, NR.write, program.str(value), Buffer.byteLength(value));
  }
  return plain !== undefined;
}

/** The terminal as /dev/console: by descriptor, once its devpts is in the namespace. */
function addConsole(inside: InsideMounts, parts: StartParts): void {
  if (parts.pty === undefined || parts.mounts.detachedAt('/dev/pts') === undefined) return;
  const slave = inside.copy('copy terminal', inside.program.fd(parts.pty.slave));
  inside.attach('mount /dev/console', slave, inside.open('/dev/console'));
}

function addPivot(program: Program, inside: InsideMounts, parts: StartParts): void {
  program.do('enter root', NR.fchdir, inside.root);
  program.do('pivot_root', NR.pivot_root, '.', '.');
  program.do('detach the host', NR.umount2, '.', MNT.DETACH);
  program.do('enter new root', NR.chdir, '/');
  const wanted = parts.request.spec.linux?.rootfsPropagation ?? '';
  const propagation = propagations[wanted];
  if (propagation !== undefined) inside.setPropagation('set propagation of the root', inside.root, ...propagation);
}
