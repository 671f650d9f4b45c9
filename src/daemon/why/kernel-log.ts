/**
 * What the kernel's log says of processes that its OOM killer has ended in a group. /dev/kmsg holds records for every
 * container of the host: only those that name the group are taken. Where it cannot be read there is nothing.
 */
import { close, open, tryRead } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';

export interface KilledProcess {
  readonly name: string;
  readonly rssBytes: number | undefined;
}

const RECORD_BYTES_MAX = 8192;
const RECORDS_MAX = 20_000;

/** The last one in the group whose path ends with `group`. */
export function lastOomKill(group: string): KilledProcess | undefined {
  let fd: number;
  try {
    fd = open('/dev/kmsg', O.RDONLY | O.NONBLOCK);
  } catch {
    return undefined; // no right to it, or none here
  }
  try {
    return lastIn(group, records(fd));
  } finally {
    close(fd);
  }
}

function* records(fd: number): Generator<string> {
  const buffer = new Uint8Array(RECORD_BYTES_MAX);
  for (let count = 0; count < RECORDS_MAX; count++) {
    let length: number | undefined;
    try {
      length = tryRead(fd, buffer);
    } catch {
      continue; // EPIPE: overwritten while we read; the next read goes on behind the gap
    }
    if (length === undefined) return;
    yield Buffer.from(buffer.buffer, 0, length).toString('latin1');
  }
}

/** Exported for its test: `lines` as /dev/kmsg gives them. */
export function lastIn(group: string, lines: Iterable<string>): KilledProcess | undefined {
  let found: KilledProcess | undefined;
  let named: { readonly pid: string; readonly name: string } | undefined;
  for (const line of lines) {
    const kill = /oom-kill:.*,task_memcg=([^,]*),task=(.*),pid=(\d+),/.exec(line);
    if (kill !== null) {
      const [, path = '', name = '', pid = ''] = kill;
      // A group that the container made inside its own counts too.
      const inGroup = path.endsWith(group) || path.includes(`${group}/`);
      named = inGroup ? { pid, name } : undefined;
      if (inGroup) found = { name, rssBytes: undefined };
      continue;
    }
    const ended = /Killed process (\d+) \((.*)\) .*anon-rss:(\d+)kB(?:, file-rss:(\d+)kB, shmem-rss:(\d+)kB)?/.exec(
      line,
    );
    if (ended === null || named === undefined || named.pid !== ended[1]) continue;
    const [, , , ...parts] = ended;
    found = { name: named.name, rssBytes: parts.reduce((sum, part) => sum + Number(part ?? 0), 0) * 1024 };
  }
  return found;
}
