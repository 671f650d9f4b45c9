/**
 * One value for one file of a cgroup, and the act of writing it. Which files a limit needs is decided by pure functions
 * (v1-files.ts, v2-files.ts); what the kernel's refusal means to a user is said here, once.
 */
import { invalidParameter, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { open, ownedFd } from '#sys/files.ts';
import { exists, readText, writeStream, writeValue } from '#sys/host-files.ts';
import { O } from '#sys/numbers.ts';

/** `field` is the user's word for it (`memory.limit`), for messages. */
export interface CgroupWrite {
  readonly file: string;
  readonly value: string;
  readonly field: string;
  /** The file may be absent (a kernel without swap accounting): then this value needs no writing. */
  readonly optional?: boolean;
}

/** What conversion may ask of a group: the kernel decides which files there are. */
export interface CgroupFacts {
  has(file: string): boolean;
  read(file: string): string | undefined;
}

export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The text of a file, without the last newline; undefined when there is no such file or group. */
export function readIfThere(path: string): string | undefined {
  try {
    return readText(path).trimEnd();
  } catch (error) {
    const code = codeOf(error);
    // ENODEV: the group was removed while the file was open. EOPNOTSUPP: built in, but off.
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'EOPNOTSUPP') return undefined;
    throw error;
  }
}

/** One write(2) of the whole value: cgroup files take a value per call. */
export function writeFile(path: string, value: string): void {
  writeValue(path, value);
}

/** Writes one limit into the group at `directory`; the kernel's refusal becomes a message about the limit. */
export function applyWrite(directory: string, write: CgroupWrite): void {
  try {
    writeFile(`${directory}/${write.file}`, write.value);
  } catch (error) {
    if (write.optional === true && isAbsent(error)) return;
    throw refusal(directory, write, error);
  }
}

/** Several values of one file, a write(2) each. */
export function applyLines(directory: string, write: Omit<CgroupWrite, 'value'> & { lines: readonly string[] }): void {
  let value = '';
  try {
    using file = ownedFd(open(`${directory}/${write.file}`, O.WRONLY));
    for (value of write.lines) writeStream(file.fd, value);
  } catch (error) {
    throw refusal(directory, { ...write, value }, error);
  }
}

export interface PlacedWrite extends CgroupWrite {
  readonly directory: string;
}

/**
 * Writes all, or puts back what was before. Going back in reverse order passes through the same states, so what limits
 * each other (memory and memory+swap) stays in order. Returns the way back for a failure that comes later.
 */
export function applyAll(writes: readonly PlacedWrite[]): () => void {
  const before: PlacedWrite[] = [];
  const goBack = (): void => {
    for (const write of before.splice(0).toReversed()) {
      try {
        applyWrite(write.directory, write);
      } catch (err) {
        log.error('a limit is not put back', { file: `${write.directory}/${write.file}`, value: write.value, err });
      }
    }
  };
  try {
    for (const write of writes) {
      const value = readIfThere(`${write.directory}/${write.file}`);
      applyWrite(write.directory, write);
      if (value !== undefined) before.push({ ...write, value: previousValue(write, value) });
    }
  } catch (error) {
    goBack();
    throw error;
  }
  return goBack;
}

/** What to write to have again what the file said. Files with a line per device are asked for that line. */
function previousValue(write: CgroupWrite, text: string): string {
  const device = /^(\d+:\d+) (?:(\w+)=)?/.exec(write.value);
  if (device !== null) {
    const [, number = '', key] = device;
    const line = text.split('\n').find((one) => one.startsWith(`${number} `));
    if (key !== undefined) return `${number} ${key}=${new RegExp(`\\b${key}=(\\S+)`).exec(line ?? '')?.[1] ?? 'max'}`;
    return line ?? `${number} 0`;
  }
  return text.split('\n').find((line) => line.startsWith('default ')) ?? text;
}

/** cgroupfs refuses to make files (EACCES, EPERM) where the kernel has none of that name. */
const isAbsent = (error: unknown): boolean => ['ENOENT', 'EACCES', 'EPERM'].includes(codeOf(error) ?? '');

function refusal(directory: string, write: CgroupWrite, cause: unknown): Error {
  const what = `Cannot set ${write.field} to "${write.value}"`;
  if (isAbsent(cause)) {
    const gone = !exists(`${directory}/cgroup.procs`);
    if (gone) return notFound(`${what}: the cgroup is gone`, { cause });
    return invalidParameter(`${what}: not supported by this kernel (no ${write.file})`, { cause });
  }
  switch (codeOf(cause) ?? '') {
    case 'EINVAL':
    case 'ERANGE':
    case 'ENODEV':
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
      return invalidParameter(`${what}: refused by the kernel (${codeOf(cause)})`, { cause });
    case 'EBUSY':
      return invalidParameter(`${what}: it is less than what is in use now`, { cause });
    default:
      return systemError(`${what}: ${messageOf(cause)}`, { cause });
  }
}
