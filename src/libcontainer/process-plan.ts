/**
 * What is known of a process before it exists: its user looked up in the container's files, its capability sets, limits,
 * environment, and where its program may lie. The files are the image's: regular, bounded in size, opened in the root.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { readText } from '#sys/host-files.ts';
import { isErrno } from '#sys/errno.ts';
import { fstat, ownedFd, readAll } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';
import { type CapabilitySets, capabilitiesIn, capabilitySets, namesOf, withoutRoot } from './capabilities.ts';
import { StartError } from './explain.ts';
import { limitsHere, type LimitsHere, type ResourceLimit, resolveLimits } from './rlimits.ts';
import type { Process } from './spec.ts';
import { homeOf, type ResolvedUser, resolveUser } from './user.ts';

const USER_FILE_BYTES_MAX = 8 << 20;
const ARGUMENT_BYTES_MAX = 128 << 10;
const ARGUMENTS_BYTES_MAX = 2 << 20;
const POINTER_BYTES = 8;
const SEARCH_ENTRIES_MAX = 128;
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_UMASK = 0o022;

export interface ProcessPlan {
  readonly process: Process;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly capabilities: CapabilitySets;
  readonly limits: readonly ResourceLimit[];
  readonly umask: number;
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** Paths that execve tries in turn. */
  readonly candidates: readonly string[];
  /** What could not be given in full and is no reason to fail. */
  readonly warnings: readonly string[];
  /** Whether the candidates come from PATH. */
  readonly searched: boolean;
}

/** What this process has, and so the most that a container can get. */
export interface OwnRights extends LimitsHere {
  readonly capabilities: bigint;
}

let known: OwnRights | undefined;

/** As they are at the first question: the parent of containers is another process, which does not see later changes. */
export function ownRights(): OwnRights {
  if (known !== undefined) return known;
  const status = readText('/proc/self/status');
  known = { ...limitsHere(capabilitiesIn(status, 'CapEff')), capabilities: capabilitiesIn(status, 'CapBnd') };
  return known;
}

function available(sets: CapabilitySets, own: bigint, warnings: string[]): CapabilitySets {
  const wanted = sets.bounding | sets.permitted | sets.effective | sets.inheritable | sets.ambient;
  for (const name of namesOf(wanted & ~own)) warnings.push(`${name} cannot be given: it is missing here`);
  const mayBeAmbient = sets.permitted & sets.inheritable;
  for (const name of namesOf(sets.ambient & own & ~mayBeAmbient))
    warnings.push(`${name} stays out of the ambient set: it is not both permitted and inheritable`); // capabilities(7)
  return {
    bounding: sets.bounding & own,
    effective: sets.effective & own,
    permitted: sets.permitted & own,
    inheritable: sets.inheritable & own,
    ambient: sets.ambient & own & mayBeAmbient,
  };
}

/** Text of a file of the container; '' when there is none. Errors: invalid-parameter. */
function readUserFile(root: number, path: string): string {
  try {
    // A FIFO must not hold us up.
    using file = ownedFd(openInRoot(root, path, O.RDONLY | O.NONBLOCK | O.NOCTTY));
    const { mode, size } = fstat(file.fd);
    if ((mode & S_IF.MT) !== S_IF.REG) throw invalidParameter(`${path} of the container is not a regular file`);
    if (size > USER_FILE_BYTES_MAX)
      throw invalidParameter(`${path} of the container is larger than ${USER_FILE_BYTES_MAX} bytes`);
    return Buffer.from(readAll(file.fd, USER_FILE_BYTES_MAX)).toString();
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return '';
    throw error;
  }
}

function hasHome(env: readonly string[]): boolean {
  return env.some((entry) => entry.startsWith('HOME=') && entry.length > 'HOME='.length);
}

function lookUpUser(process: Process, root: number): ResolvedUser {
  const { user, env = [] } = process;
  if (user.username === undefined) {
    const home = hasHome(env) ? '' : homeOf(user.uid, readUserFile(root, '/etc/passwd'));
    return { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids ?? [], home };
  }
  const files = { passwd: readUserFile(root, '/etc/passwd'), group: readUserFile(root, '/etc/group') };
  const found = resolveUser(user.username, files, user.additionalGroups);
  // The main group counts among the groups (CVE-2022-36109).
  const groups = new Set([found.gid, ...found.additionalGids, ...(user.additionalGids ?? [])]);
  return { ...found, additionalGids: [...groups] };
}

/** A user as `docker run --user` words it, looked up in the container's files. Errors: not-found, invalid-parameter. */
export function userInRoot(username: string, root: number): ResolvedUser {
  return resolveUser(username, { passwd: readUserFile(root, '/etc/passwd'), group: readUserFile(root, '/etc/group') });
}

/** Errors: StartError 126 `argument list too long`. */
function checkArguments(args: readonly string[], env: readonly string[]): void {
  let total = 0;
  for (const text of [...args, ...env]) {
    const bytes = Buffer.byteLength(text) + 1;
    if (text.includes('\0')) throw invalidParameter('process: arguments and environment must not contain a NUL byte');
    total += bytes + POINTER_BYTES;
    if (bytes > ARGUMENT_BYTES_MAX || total > ARGUMENTS_BYTES_MAX)
      throw new StartError('invalid-parameter', 126, `exec: "${args[0]?.slice(0, 64)}": argument list too long`);
  }
}

function candidatesFor(program: string, env: readonly string[]): readonly string[] {
  const path = env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? DEFAULT_PATH;
  // A relative entry would mean the working directory, which the image's author does not choose.
  const directories = path.split(':').filter((entry) => entry.startsWith('/'));
  return [...new Set(directories)]
    .slice(0, SEARCH_ENTRIES_MAX)
    .map((entry) => `${entry.replace(/\/+$/, '')}/${program}`);
}

/**
 * `root`: descriptor of the container's root directory.
 * Errors: not-found (user, group), invalid-parameter, StartError.
 */
export function planProcess(process: Process, root: number, here: OwnRights): ProcessPlan {
  const { args = [] } = process;
  const [program] = args;
  if (program === undefined || program === '') throw invalidParameter('process.args: must name a program');
  const user = lookUpUser(process, root);
  const env = [...(process.env ?? [])];
  if (!hasHome(env)) {
    const at = env.indexOf('HOME=');
    if (at !== -1) env.splice(at, 1);
    env.push(`HOME=${user.home === '' ? '/' : user.home}`);
  }
  checkArguments(args, env);
  const warnings: string[] = [];
  const sets = available(capabilitySets(process.capabilities), here.capabilities, warnings);
  const resolved = resolveLimits(process.rlimits ?? [], here);
  const searched = !program.includes('/');
  return {
    process,
    uid: user.uid,
    gid: user.gid,
    groups: user.additionalGids,
    capabilities: process.user.username !== undefined && user.uid !== 0 ? withoutRoot(sets) : sets,
    limits: resolved.limits,
    warnings: [
      ...warnings,
      ...resolved.lowered.map((type) => `${type} stays lower than asked: CAP_SYS_RESOURCE is missing`),
    ],
    umask: process.user.umask ?? DEFAULT_UMASK,
    args,
    env,
    candidates: searched ? candidatesFor(program, env) : [program],
    searched,
  };
}
