/** A root filesystem of busybox, its overlay as a detached mount, and a plain spec for it. */
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import type { Process, Spec } from '#libcontainer/spec.ts';
import { detachedOverlay } from '#sys/mounts.ts';

const APPLETS = [
  'sh',
  'true',
  'false',
  'echo',
  'cat',
  'ls',
  'ps',
  'sleep',
  'id',
  'hostname',
  'ip',
  'tty',
  'stty',
  'kill',
];
const CAPABILITIES = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SETGID', 'CAP_NET_BIND_SERVICE'];

export function makeImage(directory: string): string {
  const root = `${directory}/image`;
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp']) mkdirSync(`${root}/${name}`, { recursive: true });
  copyFileSync('/bin/busybox', `${root}/bin/busybox`);
  for (const applet of APPLETS) symlinkSync('busybox', `${root}/bin/${applet}`);
  writeFileSync(`${root}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
  writeFileSync(`${root}/etc/group`, 'root:x:0:\n');
  writeFileSync(`${root}/bin/noexec`, 'no program', { mode: 0o644 });
  return root;
}

/** A new overlay over the image; its descriptor. */
export function rootfsOver(image: string, directory: string, id: string): number {
  const upper = `${directory}/${id}/upper`;
  const work = `${directory}/${id}/work`;
  for (const path of [upper, work]) mkdirSync(path, { recursive: true });
  return detachedOverlay({ lower: [image], upper, work });
}

export interface SpecOptions {
  readonly args: readonly string[];
  readonly terminal?: boolean;
  readonly cgroupsPath?: string;
  readonly process?: Partial<Process>;
}

export function specOf({ args, terminal = false, cgroupsPath, process = {} }: SpecOptions): Spec {
  const capabilities = { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES };
  return {
    ociVersion: '1.2.0',
    hostname: 'ship',
    root: { path: 'rootfs' },
    process: {
      args: [...args],
      env: ['PATH=/bin'],
      cwd: '/',
      user: { uid: 0, gid: 0 },
      terminal,
      capabilities,
      noNewPrivileges: false,
      ...process,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
      },
      { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777'] },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
    ],
    linux: {
      namespaces: [{ type: 'pid' }, { type: 'ipc' }, { type: 'uts' }, { type: 'mount' }, { type: 'network' }],
      maskedPaths: ['/proc/acpi', '/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
      resources: { pids: { limit: 64 } },
      ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
    },
  };
}
