/**
 * After a start of the daemon, however the last one ended: unfinished creations are swept, removals finished, processes
 * that the monitor still knows are taken into care with their output, ends that nobody saw are recorded, and restart
 * policies act. The kernel and the monitor are asked, not the records.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContainerRecord } from '#container/record.ts';
import { wanted } from '#container/restart-policy.ts';
import { isRunning } from '#container/state.ts';
import { messageOf } from '#errdefs/errors.ts';
import type { ExecDriver, ProcessExit, RunningProcess } from '#execdriver/driver.ts';
import { openCgroup } from '#libcontainer/cgroups/cgroups.ts';
import { hasUnsent } from '#logger/ship/position.ts';
import { rfc3339OfDate } from '#pkg/clock/clock.ts';
import { log } from '#pkg/log/log.ts';
import { unmountBelow } from '#sys/mount-table.ts';
import { adopt, exitedState, planRestart, publishExit } from '../container/exit.ts';
import { logTargetOf } from '../container/log-target.ts';
import { containerDirectory, containersDirectory } from '../container/paths.ts';
import { restorePause } from '../container/pause.ts';
import { restoreUpdate } from '../container/update-restore.ts';
import { cgroupParents } from '../container/cgroup-path.ts';
import { sweepSharedMemory } from '../container/shared-namespaces.ts';
import { finishRemovals, removeHeld } from '../container/remove.ts';
import { adoptExec } from '../exec/start.ts';
import { differs, followPolicy } from '../network/policy-update.ts';
import { restoreLinkRules } from '../network/link-rules.ts';
import { isPredefined } from '../network/names.ts';
import type { Services } from '../services.ts';
import { keepEnding } from '../why/why.ts';
import { BootOrder } from './boot-graph.ts';

const UNKNOWN_AFTER_REBOOT = 255;
const KILLED = 137;
const ENDINGS_LIMIT_MS = 10_000;
const DAEMON_KIND = 'daemon';

export async function restore(services: Services): Promise<void> {
  const rebooted = noteBoot(services);
  services.volumes.restore();
  unmountBelow(path.join(services.settings.execRoot, 'mounts'));
  await sweepCreations(services);
  await finishRemovals(services);
  services.endings.reconcile((id) => services.containers.get(id) !== undefined, rfc3339OfDate(new Date()));
  for (const id of services.health.states.ids()) {
    if (services.containers.get(id) === undefined) services.health.states.forget(id);
  }
  const found = await foundProcesses(services);
  services.tasks.spawn('unmount volumes', () => services.volumes.restoreMounts((id) => found.has(id)));
  await restoreNetworks(services, found);
  const coming = new Map<string, number>();
  services.live.heldRestarts = coming;
  for (const record of services.containers.all()) {
    const waitMs = await restoreContainer(services, record, found.get(record.id), rebooted);
    if (waitMs !== undefined) coming.set(record.id, waitMs);
  }
  await untilEnded(services, found);
  await restoreExecs(services, found);
  await releaseUnknown(services, found);
  services.pump.forgetUnclaimed();
  shipRest(services);
  sweepDirectories(services);
  sweepSharedMemory(services);
  await sweepCgroups(services, found);
  services.live.heldRestarts = undefined;
  if (coming.size === 0) return;
  const order = new BootOrder(services, [...coming.keys()]);
  for (const [id, waitMs] of coming) planRestart(services, id, waitMs, order);
}

/** What had ended before we came is handled before anything is started: it may have to be started again, in its turn. */
async function untilEnded(services: Services, found: ReadonlyMap<string, Found>): Promise<void> {
  const ending: Promise<void>[] = [];
  for (const [id, { process }] of found) {
    const live = services.live.get(id);
    if (live === undefined) continue;
    let over = false;
    void process.exited.then(() => (over = true));
    await Promise.resolve();
    if (over) ending.push(live.ended);
  }
  if (ending.length > 0) await Promise.race([Promise.all(ending), services.tasks.sleep(ENDINGS_LIMIT_MS)]);
}

/** Logs of containers that do not run any more, of which the last daemon had not sent all. */
function shipRest(services: Services): void {
  for (const record of services.containers.all()) {
    if (services.live.get(record.id) !== undefined) continue;
    const target = logTargetOf(containersDirectory(services), record);
    if (target?.remote === undefined || !hasUnsent(target)) continue;
    services.shipping.open(record.id, target);
    services.shipping.end(record.id);
  }
}

/** Whether the host has booted since this data root's last daemon. */
function noteBoot(services: Services): boolean {
  const document = services.db.get(DAEMON_KIND, 'boot');
  const before: unknown = typeof document === 'object' && document !== null ? Reflect.get(document, 'id') : undefined;
  if (before !== services.host.bootId) services.db.put(DAEMON_KIND, 'boot', { id: services.host.bootId });
  return before !== undefined && before !== services.host.bootId;
}

/** Containers whose create did not come to its end: nobody was told of them. */
async function sweepCreations(services: Services): Promise<void> {
  for (const record of services.containers.everything()) {
    if (record.complete) continue;
    log.info('unfinished creation swept', { container: record.id });
    try {
      await services.containers.run(record.id, (held) => removeHeld(services, held, { volumes: true }));
    } catch (error) {
      log.error('unfinished creation not swept', { container: record.id, err: error });
    }
  }
}

interface Found {
  readonly process: RunningProcess;
  readonly driver: ExecDriver;
}

async function foundProcesses(services: Services): Promise<Map<string, Found>> {
  const found = new Map<string, Found>();
  for (const driver of new Set(services.execDrivers.values())) {
    for (const process of await driver.restore()) found.set(process.id, { process, driver });
  }
  return found;
}

async function restoreNetworks(services: Services, found: ReadonlyMap<string, Found>): Promise<void> {
  const { unfinished } = services.networks.load();
  const running = services.containers.all().filter((record) => isRunning(record.state) && found.has(record.id));
  services.egress.restore(services, running);
  restoreLinkRules(services, running);
  const alive = running.flatMap((record) => record.endpoints);
  for (const { record, driver } of services.networks.all()) {
    try {
      await driver.restore(
        alive.filter((endpoint) => endpoint.networkId === record.id),
        alive,
      );
    } catch (err) {
      // The default bridge is what most containers need; a network of a user may be repaired or removed by its user.
      if (isPredefined(record.name)) throw err;
      log.error('a network is not usable', { network: record.name, err });
    }
  }
  services.egress.sweep();
  for (const network of unfinished) {
    // A plugin that gets its addresses back is not waited for: it may be a container.
    if (network.record.pools === undefined) await services.networks.finishRemoval(network);
    else services.tasks.spawn('network-remove', () => services.networks.finishRemoval(network));
  }
}

/** In how many milliseconds it is to be started; undefined when it is not. */
async function restoreContainer(
  services: Services,
  record: ContainerRecord,
  found: Found | undefined,
  rebooted: boolean,
): Promise<number | undefined> {
  if (isRunning(record.state)) {
    if (found !== undefined && String(found.process.startTicks) === record.state.startTicks) {
      await restorePause(services, record, found.driver);
      await restoreUpdate(services, record, found.driver);
      // An end that came while no daemon ran is handled like any other, output first.
      const now = services.containers.get(record.id) ?? record;
      adopt(services, now, found.driver, found.process, true);
      serveNames(services, now);
      await followUpdate(services, now);
      return undefined;
    }
    await recordLostEnd(services, record, rebooted);
  }
  await restoreUpdate(services, record, undefined);
  const now = services.containers.get(record.id);
  return now === undefined ? undefined : decideRestart(services, now);
}

/** An update of one of its networks was recorded, and the daemon ended before it was in force. */
async function followUpdate(services: Services, record: ContainerRecord): Promise<void> {
  if (!differs(services, record)) return;
  try {
    await services.containers.run(record.id, async (held) => followPolicy(services, held));
  } catch (err) {
    log.error("a network's policy is not in force for a container", { container: record.id, err });
  }
}

/** Its names went with the last daemon's sockets. */
function serveNames(services: Services, record: ContainerRecord): void {
  try {
    services.names.serveRunning(services, record);
    services.names.changed(services);
  } catch (err) {
    log.error('names are not served any more', { container: record.id, err });
  }
}

/** It is said to run, and nobody knows it any more. */
async function recordLostEnd(services: Services, record: ContainerRecord, rebooted: boolean): Promise<void> {
  const exit: ProcessExit = {
    exitCode: rebooted ? UNKNOWN_AFTER_REBOOT : KILLED,
    signal: 0,
    finishedAt: new Date(),
    error: rebooted ? 'unknown after reboot' : 'monitor died',
    oomKilled: false,
  };
  const ranMs = Math.max(0, exit.finishedAt.getTime() - Date.parse(record.state.startedAt));
  await services.containers.run(record.id, (held) => {
    held.update({ state: exitedState(held.record, exit, 'exited'), endpoints: [] });
    publishExit(services, record, exit, ranMs);
    return keepEnding(services, record, exit, { ranMs, restartAfterMs: undefined });
  });
}

/** What should run, runs again; what should be gone, goes. */
async function decideRestart(services: Services, record: ContainerRecord): Promise<number | undefined> {
  const { id, hostConfig, state, restartCount } = record;
  if (state.status === 'restarting') return leftOfBackoff(record);
  if (state.status !== 'exited') return undefined;
  if (hostConfig.AutoRemove) {
    await services.containers.run(id, (held) => removeHeld(services, held, { volumes: true }));
    return undefined;
  }
  const policy = hostConfig.RestartPolicy;
  const wished = record.desired === 'running' && !record.manuallyStopped;
  // As dockerd: "always" means also one that was stopped by hand, when the daemon comes up.
  const again = (wished || policy.Name === 'always') && wanted({ policy, exitCode: state.exitCode, restartCount });
  if (again) {
    await services.containers.run(id, (held) =>
      held.update({
        state: { ...held.record.state, status: 'restarting' },
        restartCount: restartCount + 1,
      }),
    );
    return 0;
  }
  if (record.desired === 'running') {
    await services.containers.run(id, (held) => held.update({ desired: 'stopped' }));
  }
  return undefined;
}

/** The wait for the next restart goes on; the host's clock may have been set meanwhile. */
function leftOfBackoff({ backoffMs = 0, state }: ContainerRecord): number {
  const passed = Date.now() - Date.parse(state.finishedAt);
  return passed >= 0 ? Math.max(0, backoffMs - passed) : backoffMs;
}

async function restoreExecs(services: Services, found: ReadonlyMap<string, Found>): Promise<void> {
  for (const exec of services.execs.all()) {
    if (exec.status !== 'running') continue;
    const container = services.containers.get(exec.containerId);
    const process = found.get(exec.id)?.process;
    if (container !== undefined && process !== undefined) adoptExec(services, exec, process);
    else services.execs.save({ ...exec, status: 'ended', pid: 0, exitCode: exec.exitCode ?? KILLED });
  }
}

/** Processes that no record speaks of: their start did not come to its end, or their container is gone. */
async function releaseUnknown(services: Services, found: ReadonlyMap<string, Found>): Promise<void> {
  for (const [id, { process, driver }] of found) {
    const exec = services.execs.find(id);
    if (services.live.get(id) !== undefined || (exec !== undefined && services.execs.process(id) !== undefined))
      continue;
    services.tasks.spawn(
      'end unknown process',
      async (signal) => {
        await process.signal(9).catch((error: unknown) => {
          log.debug('unknown process had ended', { process: id, err: messageOf(error) });
        });
        if ((await services.tasks.unlessStopped(process.exited, signal)) !== undefined) await driver.release(id);
      },
      { process: id },
    );
  }
}

/** Directories of containers that nobody knows: what was in a log is worth keeping for whoever looks for it. */
function sweepDirectories(services: Services): void {
  const directory = containersDirectory(services);
  for (const id of fs.readdirSync(directory)) {
    if (services.containers.get(id) !== undefined) continue;
    log.info('directory of no container removed', { container: id });
    fs.rmSync(containerDirectory(services, id), { recursive: true, force: true });
  }
}

/** Groups of starts that were cut off before anybody knew a process: what may be left in one is killed. */
async function sweepCgroups(services: Services, found: ReadonlyMap<string, Found>): Promise<void> {
  for (const parent of cgroupParents(services)) await sweepCgroupsBelow(services, found, parent);
}

async function sweepCgroupsBelow(
  services: Services,
  found: ReadonlyMap<string, Found>,
  cgroupParent: string,
): Promise<void> {
  const { cgroups } = services.isolation;
  const mountPoints = cgroups.version === 2 ? [cgroups.mountPoint] : cgroups.hierarchies.map((h) => h.mountPoint);
  const ids = new Set(mountPoints.flatMap((mountPoint) => directoriesOf(mountPoint + cgroupParent)));
  for (const id of ids) {
    if (found.has(id) || !/^[0-9a-f]{64}$/.test(id)) continue;
    // Below a parent that a user has named there may be containers of other engines.
    if (cgroupParent !== services.isolation.cgroupParent && services.containers.get(id) === undefined) continue;
    log.info('cgroup of no container removed', { container: id });
    try {
      await openCgroup(cgroups, `${cgroupParent}/${id}`).remove();
    } catch (error) {
      log.error('cgroup of no container not removed', { container: id, err: error });
    }
  }
}

function directoriesOf(directory: string): string[] {
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
}
