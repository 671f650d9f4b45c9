/** How a process of the native driver ended, and what of its streams the monitor kept. */
import type { Cgroup } from '#libcontainer/cgroups/cgroup.ts';
import { close } from '#sys/files.ts';
import { SIG } from '#sys/numbers.ts';
import type { ProcessExit, ProcessStdio } from '../driver.ts';
import type { MonitorClient } from './monitor/client.ts';
import type { ExitRecord, ListedProcess } from './monitor/protocol.ts';

const SIGNALLED = 128;

/** `cgroup`: the container's, undefined for an exec. */
export function exitOf(exit: ExitRecord, cgroup: Cgroup | undefined): ProcessExit {
  return {
    exitCode: exit.signal === 0 ? exit.code : SIGNALLED + exit.signal,
    signal: exit.signal,
    finishedAt: new Date(exit.time),
    oomKilled: (cgroup?.oomKills() ?? 0) > 0,
  };
}

/** Of a process whose monitor died: it was killed and its own code is lost. */
export function lostExit(): ProcessExit {
  return {
    exitCode: SIGNALLED + SIG.KILL,
    signal: SIG.KILL,
    finishedAt: new Date(),
    error: 'monitor died',
    oomKilled: false,
  };
}

/** Duplicates of what the monitor holds of a process; the caller's. */
export function takeStdio(client: MonitorClient, { id, held }: ListedProcess, tty: boolean): ProcessStdio {
  const taken: Record<string, number> = {};
  try {
    for (const [name, number] of Object.entries(held)) taken[name] = client.take(id, name, number);
  } catch (error) {
    for (const fd of Object.values(taken)) close(fd);
    throw error;
  }
  const { tty: master, stdin, stdout, stderr } = taken;
  if (tty) return master === undefined ? { tty } : { tty, stdin: master, stdout: master };
  return {
    tty,
    ...(stdin === undefined ? {} : { stdin }),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
  };
}
