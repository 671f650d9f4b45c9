/**
 * Room of a directory tree by project quota: the directory gets a project id that everything made in it inherits, and the
 * kernel counts and limits the blocks of that id. ext4 and xfs have it where they are mounted for it.
 *
 * A project id belongs to a whole file system, so who gives them out looks first whether another uses one (`isUnused`).
 */
import { call, must } from './call.ts';
import { errnoNumber, SysError } from './errno.ts';
import { fstatfs, ioctl } from './files.ts';
import { IOCTL, NR } from './numbers.ts';

const PROJECT_QUOTA = 2;
const Q_GETQUOTA = 0x800007;
const Q_SETQUOTA = 0x800008;
const Q_XGETQSTAT = 0x5805;
const PROJECT_ENFORCED = 1 << 5;
const STATE_BYTES = 80;
/** struct fsxattr and the flag that new files inherit the id. */
const FSXATTR_BYTES = 28;
const AT_PROJECT = 12;
const INHERITS = 0x200;
/** struct if_dqblk. */
const DQBLK_BYTES = 72;
const BLOCK_BYTES = 1024;
const BLOCK_LIMITS = 1;
const EXT4_MAGIC = 0xef53;
const XFS_MAGIC = 0x58465342;

const notCounted = ['ENOENT', 'ESRCH'].map((name) => -errnoNumber(name));

function quotactl(fd: number, command: number, id: number, bytes: Uint8Array): number {
  return call(NR.quotactl_fd, fd, ((command << 8) | PROJECT_QUOTA) >>> 0, id, bytes);
}

/** Why directories of the file system that holds `fd` cannot be limited; undefined when they can. */
export function projectQuotaProblem(fd: number): string | undefined {
  const { type } = fstatfs(fd);
  const name = type === EXT4_MAGIC ? 'ext4' : type === XFS_MAGIC ? 'xfs' : undefined;
  if (name === undefined) return `file system 0x${type.toString(16)} has no project quota, only ext4 and xfs have`;
  const state = new Uint8Array(STATE_BYTES);
  const result = quotactl(fd, Q_XGETQSTAT, 0, state);
  if (result === -errnoNumber('EPERM')) return 'CAP_SYS_ADMIN is missing';
  const enforced = result >= 0 && (new DataView(state.buffer).getUint16(2, true) & PROJECT_ENFORCED) !== 0;
  return enforced ? undefined : `the ${name} is not mounted with "${name === 'xfs' ? 'pquota' : 'prjquota'}"`;
}

export interface ProjectUsage {
  readonly usedBytes: number;
  /** 0: no limit. */
  readonly limitBytes: number;
}

/** What the tree of a project takes on the file system that holds `fd`. */
export function projectUsage(fd: number, project: number): ProjectUsage {
  const bytes = new Uint8Array(DQBLK_BYTES);
  const result = quotactl(fd, Q_GETQUOTA, project, bytes);
  if (notCounted.includes(result)) return { usedBytes: 0, limitBytes: 0 };
  if (result < 0) throw new SysError('quotactl_fd', -result);
  const view = new DataView(bytes.buffer);
  return {
    usedBytes: Number(view.getBigUint64(16, true)),
    limitBytes: Number(view.getBigUint64(0, true)) * BLOCK_BYTES,
  };
}

/** Nobody has given this id to files or limits here. */
export function isUnusedProject(fd: number, project: number): boolean {
  const { usedBytes, limitBytes } = projectUsage(fd, project);
  return usedBytes === 0 && limitBytes === 0;
}

function limit(fd: number, project: number, bytes: number): void {
  const quota = new Uint8Array(DQBLK_BYTES);
  const view = new DataView(quota.buffer);
  // Rounded up: what was asked for fits.
  const blocks = BigInt(Math.ceil(bytes / BLOCK_BYTES));
  view.setBigUint64(0, blocks, true);
  view.setBigUint64(8, blocks, true);
  view.setUint32(64, BLOCK_LIMITS, true);
  const result = quotactl(fd, Q_SETQUOTA, project, quota);
  if (result < 0) throw new SysError('quotactl_fd', -result);
}

/**
 * Limits what is made in the directory from now on to `bytes`. Preconditions: it is opened for reading, new and empty
 * (what is in it keeps its id), and `projectQuotaProblem` is undefined. Several directories may have one project.
 */
export function setProjectQuota(directory: number, project: number, bytes: number): void {
  limit(directory, project, bytes);
  const attributes = new Uint8Array(FSXATTR_BYTES);
  ioctl(directory, IOCTL.FS_IOC_FSGETXATTR, attributes);
  const view = new DataView(attributes.buffer);
  view.setUint32(0, view.getUint32(0, true) | INHERITS, true);
  view.setUint32(AT_PROJECT, project, true);
  must('ioctl(FS_IOC_FSSETXATTR)', NR.ioctl, directory, IOCTL.FS_IOC_FSSETXATTR, attributes);
}

/** Changes the limit of a project that has its directories already. */
export function changeProjectQuota(fd: number, project: number, bytes: number): void {
  limit(fd, project, bytes);
}

/** The project has no limit any more; its directories may be gone. Idempotent. */
export function clearProjectQuota(fd: number, project: number): void {
  limit(fd, project, 0);
}

/** Project id of an open file or directory; 0 is none. */
export function projectOf(fd: number): number {
  const attributes = new Uint8Array(FSXATTR_BYTES);
  ioctl(fd, IOCTL.FS_IOC_FSGETXATTR, attributes);
  return new DataView(attributes.buffer).getUint32(AT_PROJECT, true);
}
