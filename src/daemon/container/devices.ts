/** Devices of the host that a container asks for: nodes are looked up when it starts, as the host has them then. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { HostConfig } from '#api/types/host-config.ts';
import type { HostDevice } from '#container/spec/devices.ts';
import { invalidParameter } from '#errdefs/errors.ts';

const DIRECTORY_DEPTH_MAX = 10;
const TYPE_MASK = 0o170000;
const PERMISSION_MASK = 0o7777;
/** Directories of /dev that a privileged container gets from its own mounts. */
const skipped = ['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev'];

export function devicesOf(host: HostConfig): HostDevice[] {
  const asked = (host.Devices ?? []).flatMap((device) => {
    const inside = device.PathInContainer === '' ? device.PathOnHost : device.PathInContainer;
    const access = device.CgroupPermissions === '' ? 'rwm' : device.CgroupPermissions;
    const found = lookUp(device.PathOnHost, inside, access, 0);
    if (found.length === 0) {
      const why = fs.existsSync(device.PathOnHost) ? 'not a device node' : 'no such file or directory';
      throw invalidParameter(
        `error gathering device information while adding custom device "${device.PathOnHost}": ${why}`,
      );
    }
    return found;
  });
  if (!host.Privileged) return asked;
  const all = [...lookUp('/dev', '/dev', 'rwm', 0), ...asked];
  return [...new Map(all.map((device) => [device.path, device])).values()];
}

/** The device at `file`, or all below it when it is a directory. */
function lookUp(file: string, inside: string, access: string, depth: number): HostDevice[] {
  const status = fs.statSync(file, { throwIfNoEntry: false });
  if (status === undefined || depth > DIRECTORY_DEPTH_MAX) return [];
  if (status.isDirectory()) {
    return fs
      .readdirSync(file, { withFileTypes: true })
      .filter((entry) => !(depth === 0 && file === '/dev' && skipped.includes(entry.name)) && !entry.isSymbolicLink())
      .flatMap((entry) => {
        if (entry.name === 'console' && file === '/dev') return [];
        return lookUp(path.join(file, entry.name), path.join(inside, entry.name), access, depth + 1);
      });
  }
  if (!status.isCharacterDevice() && !status.isBlockDevice()) return [];
  return [
    {
      type: status.isCharacterDevice() ? 'c' : 'b',
      path: inside,
      ...deviceNumbers(status.rdev),
      fileMode: status.mode & PERMISSION_MASK & ~TYPE_MASK,
      uid: status.uid,
      gid: status.gid,
      access,
    },
  ];
}

/** The node at `file`, if it is one. */
export function deviceAt(file: string, inside: string, access: string): HostDevice | undefined {
  const [device, ...more] = lookUp(file, inside, access, DIRECTORY_DEPTH_MAX);
  return more.length === 0 ? device : undefined;
}

/** glibc's encoding of st_rdev. */
function deviceNumbers(rdev: number): { major: number; minor: number } {
  const n = BigInt(rdev);
  const major = ((n >> 8n) & 0xfffn) | ((n >> 32n) & ~0xfffn);
  const minor = (n & 0xffn) | ((n >> 12n) & ~0xffn & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** Numbers of a block device by path, for limits. */
export function blockDevice(file: string): { major: number; minor: number } {
  const status = fs.statSync(file, { throwIfNoEntry: false });
  if (status?.isBlockDevice() !== true) throw invalidParameter(`"${file}" is not a block device`);
  return deviceNumbers(status.rdev);
}
