/** Real-time runtime of cgroup v1 (CONFIG_RT_GROUP_SCHED): each group divides what its parent has. */
import { type CgroupV1Host, v1MountOf } from './detect.ts';
import { makeGroup } from './tree.ts';
import { applyWrite } from './write.ts';

export interface RealtimeShare {
  /** Microseconds; 0: left alone. */
  readonly periodUs: number;
  readonly runtimeUs: number;
}

/** Gives `path` and every group above it but the root this share. Errors: invalid-parameter where the kernel refuses. */
export function allowRealtime(host: CgroupV1Host, path: string, { periodUs, runtimeUs }: RealtimeShare): void {
  const mount = v1MountOf(host, 'cpu');
  if (mount === undefined || (periodUs === 0 && runtimeUs === 0)) return;
  makeGroup(mount + path, () => undefined);
  let directory = mount;
  for (const name of path.split('/').filter((part) => part !== '')) {
    directory = `${directory}/${name}`;
    const put = (file: string, value: number, field: string) =>
      value === 0 ? undefined : applyWrite(directory, { file, value: String(value), field });
    put('cpu.rt_period_us', periodUs, 'cpu-rt-period');
    put('cpu.rt_runtime_us', runtimeUs, 'cpu-rt-runtime');
  }
}
