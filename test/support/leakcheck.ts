/**
 * What a root suite leaves behind on the host: mounts, cgroups, links, nft tables, network namespaces, processes.
 * Take one before, `settle` after: everything that is new and ours (by name, or by the data root in a command line)
 * is a leak. Zombies whose parent is PID 1 are no leak: init of some test machines does not reap.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from './command.ts';

export interface HostState {
  readonly mounts: ReadonlySet<string>;
  readonly cgroups: ReadonlySet<string>;
  readonly links: ReadonlySet<string>;
  readonly tables: ReadonlySet<string>;
  readonly processes: ReadonlySet<string>;
}

function cgroupsBelow(directory: string, depth: number, into: Set<string>): void {
  let entries: fs.Dirent[] = [];
  try {
    entries = fs.readdirSync(directory, { withFileTypes: true });
  } catch {
    return; // a group that went away while we walked
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue;
    const name = path.join(directory, entry.name);
    if (depth > 0) into.add(name);
    if (depth < 4) cgroupsBelow(name, depth + 1, into);
  }
}

/** Processes with `marker` in their command line or environment-free facts; kernel threads and zombies are left out. */
function processesOf(marker: string): Set<string> {
  const found = new Set<string>();
  for (const pid of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue;
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const cgroup = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8');
      if (command !== '' && (command.includes(marker) || cgroup.includes(marker))) found.add(`${pid} ${command}`);
    } catch {
      // ended meanwhile
    }
  }
  return found;
}

export async function hostState(marker: string): Promise<HostState> {
  const cgroups = new Set<string>();
  cgroupsBelow('/sys/fs/cgroup', 0, cgroups);
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n');
  // As this namespace has them; /sys shows those of whoever mounted it.
  const links = await run('ip', ['-o', 'link']);
  const tables = await run('nft', ['list', 'tables']).catch(() => ({ stdout: '' }));
  return {
    mounts: new Set(mounts.map((l) => l.split(' ')[4] ?? '')),
    cgroups,
    links: new Set([...links.stdout.matchAll(/^\d+: ([^:@]+)/gm)].map(([, name = '']) => name)),
    tables: new Set(tables.stdout.trim().split('\n')),
    processes: processesOf(marker),
  };
}

/**
 * What is in `after` and was not in `before` and carries one of `marks`: the six hex digits of the data root (cgroups,
 * tables, veths), the bridge, the directory. Other daemons may come and go meanwhile.
 */
export function leaks(before: HostState, after: HostState, marks: readonly string[]): string[] {
  const ours = (name: string) => marks.some((mark) => name.includes(mark));
  const kinds = ['mounts', 'cgroups', 'links', 'tables', 'processes'] as const;
  return kinds.flatMap((kind) =>
    [...after[kind]].filter((x) => !before[kind].has(x) && ours(x)).map((x) => `${kind}: ${x}`),
  );
}
