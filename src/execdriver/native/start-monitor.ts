/**
 * Starts berth-monitor and waits until it listens. It gets a session and stdio of its own, an environment without ours,
 * and is not waited for: it outlives this process.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import { unavailable } from '#errdefs/errors.ts';
import { MonitorClient, type MonitorEvents } from './monitor/client.ts';

/** Its death is heard of at once; a host that boots with everything at once may need long for its start. */
const READY_LIMIT_MS = 60_000;
const ATTEMPTS = 5;

export interface MonitorPlace {
  readonly execRoot: string;
  /** Program and first arguments; `--exec-root DIR` is added. */
  readonly command: readonly string[];
}

export function socketPathOf(execRoot: string): string {
  return `${execRoot}/monitor.sock`;
}

/** Whether one may listen: a socket is there. */
export function monitorListens(execRoot: string): boolean {
  return existsSync(socketPathOf(execRoot));
}

/** Connects to the monitor of this exec root, starting it when none runs. */
export async function connectOrStart(place: MonitorPlace, events: MonitorEvents): Promise<MonitorClient> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    // One that ends right now (nothing ran) closes the connection at once: then the next turn starts another.
    const client = await MonitorClient.connect(socketPathOf(place.execRoot), events);
    if (client !== undefined) return client;
    await startMonitor(place);
  }
  throw unavailable(
    `Cannot start the monitor of "${place.execRoot}": it ends at once, see ${place.execRoot}/monitor.log`,
  );
}

async function startMonitor({ execRoot, command }: MonitorPlace): Promise<void> {
  const logFile = openSync(`${execRoot}/monitor.log`, 'a', 0o600);
  const child = Bun.spawn([...command, '--exec-root', execRoot], {
    cwd: '/',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    stdio: ['ignore', 'pipe', logFile],
    detached: true,
  });
  closeSync(logFile);
  child.unref();
  const limit = AbortSignal.timeout(READY_LIMIT_MS);
  const reader = child.stdout.getReader();
  const late = new Promise<never>((_, reject) => {
    limit.addEventListener('abort', () => reject(unavailable('The monitor does not get ready')), { once: true });
  });
  try {
    // 'ready', or 'another' when two daemons raced; an end without a word shows in the next attempt to connect.
    await Promise.race([reader.read(), late]);
  } finally {
    await reader.cancel();
  }
}
