/**
 * cgroup v1: the first process that joins a group after a pause waits for an RCU grace period (4–25 ms; the writer side
 * of the kernel's cgroup_threadgroup_rwsem), those after it wait for nothing. `ready` takes that wait early and on a
 * thread of the runtime's pool, by writing this process into the group that it is in already. Called when a container
 * or exec is created, it makes the start that follows join in 0.4 ms.
 *
 * cgroup v2 needs none of it: processes are cloned into their group.
 */
import { writeFile } from 'node:fs/promises';
import { log } from '#pkg/log/log.ts';
import type { CgroupHost, CgroupV1Host } from './detect.ts';
import { readIfThere } from './write.ts';

export class JoinReadiness {
  readonly #host: CgroupHost;
  #pending = false;

  constructor(host: CgroupHost) {
    this.#host = host;
  }

  /** Returns at once. Fails silently: it only saves time. */
  ready(): void {
    const host = this.#host;
    if (host.version === 2 || this.#pending) return;
    const file = ownProcsFile(host, readIfThere('/proc/self/cgroup') ?? '');
    if (file === undefined) return;
    this.#pending = true;
    void this.#write(file);
  }

  async #write(file: string): Promise<void> {
    try {
      await writeFile(file, String(process.pid));
    } catch (err) {
      log.debug('cannot get ready to join cgroups', { file, err });
    }
    this.#pending = false;
  }
}

/** `cgroup.procs` of the group that this process is in, in the first hierarchy. `text`: /proc/self/cgroup. */
export function ownProcsFile(host: CgroupV1Host, text: string): string | undefined {
  const [hierarchy] = host.hierarchies;
  const controller = hierarchy?.controllers[0];
  if (hierarchy === undefined || controller === undefined) return undefined;
  for (const line of text.split('\n')) {
    const [, names = '', ...path] = line.split(':');
    if (!names.split(',').includes(controller)) continue;
    const group = path.join(':');
    return `${hierarchy.mountPoint}${group === '/' ? '' : group}/cgroup.procs`;
  }
  return undefined;
}
