/**
 * The bundle that another OCI runtime is given: config.json in the specification's own words and the root filesystem at a
 * path. Both exist from start to release. What our Spec says beyond the specification (users by name) is settled here.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { pid } from 'node:process';
import { notImplemented } from '#errdefs/errors.ts';
import { ownRights, planProcess } from '#libcontainer/process-plan.ts';
import type { Process, Spec } from '#libcontainer/spec.ts';
import { isErrno } from '#sys/errno.ts';
import { must } from '#sys/call.ts';
import { AT, MNT, MOVE_MOUNT, NR } from '#sys/numbers.ts';

const NOT_MOUNTED = ['EINVAL', 'ENOENT'];

/** `process` with its user looked up in the files of `root`. Errors: not-found, invalid-parameter, StartError. */
export function plainProcess(process: Process, root: number): Process {
  const plan = planProcess(process, root, ownRights());
  const { umask } = process.user;
  return {
    ...process,
    env: plan.env,
    user: {
      uid: plan.uid,
      gid: plan.gid,
      ...(plan.groups.length === 0 ? {} : { additionalGids: plan.groups }),
      ...(umask === undefined ? {} : { umask }),
    },
  };
}

/** A bigint (a seccomp argument beyond 2^53) as the number it is: rounding it would change the filter. */
export function toJson(spec: Spec): string {
  const marked = JSON.stringify(spec, (_, value: unknown) => (typeof value === 'bigint' ? `bigint:${value}` : value));
  return marked.replace(/"bigint:(\d+)"/g, '$1');
}

export class Bundle {
  readonly path: string;

  constructor(directory: string, id: string) {
    this.path = `${directory}/${id}`;
  }

  get rootfs(): string {
    return `${this.path}/rootfs`;
  }

  get pidFile(): string {
    return `${this.path}/pid`;
  }

  get log(): string {
    return `${this.path}/log.json`;
  }

  /** `directory`: the bundle's. Not by its path, for a socket's may have 107 bytes and that has a root and two names. */
  consoleSocketBy(directory: number): string {
    return `/proc/${pid}/fd/${directory}/console`;
  }

  /** `rootfs`: a detached mount; it is attached here until `remove`. */
  create(spec: Spec, rootfs: number): void {
    if (spec.process === undefined) throw notImplemented('process: is missing');
    if (spec.mounts?.some(({ sourceFd }) => sourceFd !== undefined) === true)
      throw notImplemented('Mounts by descriptor cannot be given to another runtime');
    const process = plainProcess(spec.process, rootfs);
    mkdirSync(this.rootfs, { recursive: true, mode: 0o700 });
    must('move_mount', NR.move_mount, rootfs, '', AT.FDCWD, this.rootfs, MOVE_MOUNT.F_EMPTY_PATH);
    const root = { ...spec.root, path: 'rootfs' };
    const text = toJson({ ...spec, process, root });
    writeFileSync(`${this.path}/config.json`, text, { mode: 0o600 });
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  /** Idempotent. */
  remove(): void {
    try {
      must('umount2', NR.umount2, this.rootfs, MNT.DETACH | MNT.UMOUNT_NOFOLLOW);
    } catch (error) {
      if (!isErrno(error, ...NOT_MOUNTED)) throw error;
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}
