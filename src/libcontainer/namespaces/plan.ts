/**
 * How a container gets its namespaces: which flags its clone has, which namespaces it joins, and whether that takes a
 * second clone. It does when a pid namespace is joined (setns changes only later children), when clocks are shifted (the
 * offsets are written before anybody lives in the new namespace), and when a user namespace meets joined ones (they are
 * joined with the rights of before).
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { CLONE } from '#sys/numbers.ts';
import type { Namespace, NamespaceType } from '../spec.ts';

export const cloneFlagOf: Readonly<Record<NamespaceType, number>> = {
  mount: CLONE.NEWNS,
  pid: CLONE.NEWPID,
  network: CLONE.NEWNET,
  ipc: CLONE.NEWIPC,
  uts: CLONE.NEWUTS,
  cgroup: CLONE.NEWCGROUP,
  user: CLONE.NEWUSER,
  time: CLONE.NEWTIME,
};

export interface NamespaceJoin {
  readonly type: NamespaceType;
  readonly path: string;
  readonly flag: number;
}

export interface NamespacePlan {
  /** Namespaces that the container has for itself (made, not joined). */
  readonly own: ReadonlySet<NamespaceType>;
  /** In the order in which they are joined. */
  readonly joins: readonly NamespaceJoin[];
  readonly firstFlags: number;
  /** Flags of the second clone; undefined when there is none. */
  readonly secondFlags: number | undefined;
  /** unshare(CLONE_NEWCGROUP) after the v1 groups were joined: with the first clone it would have the wrong root. */
  readonly unshareCgroup: boolean;
  /** unshare(CLONE_NEWTIME) and the offsets before the second clone. */
  readonly shiftClocks: boolean;
}

// The user namespace first: the rights in it are needed for the others.
const joinOrder: readonly NamespaceType[] = ['user', 'cgroup', 'ipc', 'uts', 'network', 'time', 'pid'];

export function planNamespaces(
  namespaces: readonly Namespace[],
  options: { readonly cgroupVersion: 1 | 2; readonly clocksShifted: boolean },
): NamespacePlan {
  const byType = new Map<NamespaceType, string>();
  for (const { type, path } of namespaces) {
    if (byType.has(type)) throw invalidParameter(`linux.namespaces: "${type}" is listed twice`);
    byType.set(type, path ?? '');
  }
  if (byType.get('mount') !== '')
    throw invalidParameter('linux.namespaces: a container needs a mount namespace of its own');
  const own = new Set([...byType].filter(([, path]) => path === '').map(([type]) => type));
  const joins = joinOrder.flatMap((type) => {
    const path = byType.get(type) ?? '';
    return path === '' ? [] : [{ type, path, flag: cloneFlagOf[type] }];
  });
  const shiftClocks = own.has('time') && options.clocksShifted;
  const joined = new Set(joins.map((join) => join.type));
  const userMatters = own.has('user') || joined.has('user');
  const twice = joined.has('pid') || joined.has('time') || shiftClocks || (userMatters && joins.length > 0);
  const unshareCgroup = own.has('cgroup') && options.cgroupVersion === 1 && !twice;
  let flags = 0;
  for (const type of own) {
    if (type === 'time' && shiftClocks) continue;
    if (type === 'cgroup' && unshareCgroup) continue;
    flags |= cloneFlagOf[type];
  }
  return {
    own,
    joins,
    firstFlags: twice ? 0 : flags >>> 0,
    secondFlags: twice ? flags >>> 0 : undefined,
    unshareCgroup,
    shiftClocks,
  };
}
