/**
 * Starts a container: intent recorded, root filesystem and endpoint prepared, the driver launches, the record says
 * `running` directly before the program is executed, output and waiting clients are connected.
 */
import type { StartFailure } from '#execdriver/driver.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import { type ContainerState, isRunning, moveTo } from '#container/state.ts';
import type { GeneratedFiles, MountSources } from '#container/spec/mounts.ts';
import { buildSpec } from '#container/spec/spec.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { containerOfMode } from '#container/validate.ts';
import { BerthError, conflict, messageOf, notModified, systemError } from '#errdefs/errors.ts';
import type { Spec } from '#libcontainer/spec.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import { checkJournal } from '#logger/journald/options.ts';
import { dup } from '#sys/files.ts';
import { allocateEndpoints, joinEndpoints } from '../network/endpoints.ts';
import { driverOf } from '../network/gateways.ts';
import { refreshFiles } from '../network/connect.ts';
import { refreshLinkRules } from '../network/link-rules.ts';
import { checkLinks, linkedHosts, linkersOf, linkVariables } from '../network/links.ts';
import { isServed } from '../network/name-service.ts';
import type { OpenedSecrets } from '../secret/use.ts';
import type { Services } from '../services.ts';
import type { Held } from './containers.ts';
import { cgroupPathOf, giveRealtime } from './cgroup-path.ts';
import { blockDevice, devicesOf } from './devices.ts';
import { publishContainerEvent, publishNetworkEvent, publishVolumesMounted } from './event.ts';
import { adopt } from './exit.ts';
import { generatedFilesOf } from './generated-files.ts';
import { pathsOf } from './generated-paths.ts';
import { openMounts } from './mounts.ts';
import { containerDirectory } from './paths.ts';
import { keepFailedStart } from '../why/why.ts';
import { removeHeld } from './remove.ts';
import { filterOf } from './seccomp.ts';
import { type JoinedNamespaces, joinedNamespaces, sharedMemory } from './shared-namespaces.ts';
import { mountNamespaceOf, rootOf } from '../userns/mapped.ts';

/** Errors: not-modified when it runs; the driver's start failure with `exitCode`. */
export async function startContainer(services: Services, reference: string, signal: AbortSignal): Promise<void> {
  const { id } = services.containers.resolve(reference);
  services.live.cancelRestart(id);
  await services.containers.run(id, async (held) => {
    await startHeld(services, held, { signal, byUser: true });
  });
}

export interface StartOptions {
  readonly signal: AbortSignal;
  /** Not by a restart policy: counts and marks start anew. */
  readonly byUser: boolean;
}

export async function startHeld(services: Services, held: Held, options: StartOptions): Promise<void> {
  const { record } = held;
  checkStartable(record);
  held.update({
    desired: 'running',
    manuallyStopped: false,
    ...(options.byUser ? { restartCount: 0, backoffMs: 0 } : {}),
  });
  failpoint('start.recorded');
  try {
    // Its file system is mounted once at a time.
    await services.files.leases.freed(record.id, 'the container is started');
    await services.turns.take();
    await launch(services, held, options.signal);
  } catch (error) {
    await recordFailure(services, held, record.state, error);
    throw error;
  }
}

/** Errors: unavailable where the driver needs what this host has not. */
function checkLogDriver(config: ContainerRecord['hostConfig']['LogConfig']): void {
  if (config.Type !== 'journald') return;
  try {
    checkJournal();
  } catch (cause) {
    throw systemError(`failed to initialize logging driver: ${messageOf(cause)}`, { cause });
  }
}

function checkStartable(record: ContainerRecord): void {
  const { status } = record.state;
  if (status === 'paused') throw conflict('cannot start a paused container, try unpause instead');
  if (status === 'removing' || status === 'dead') {
    throw conflict('container is marked for removal and cannot be started');
  }
  if (isRunning(record.state)) throw notModified(`container ${record.id} is running`);
}

async function launch(services: Services, held: Held, signal: AbortSignal): Promise<void> {
  const { id, config, hostConfig } = held.record;
  const driver = services.execDrivers.get(hostConfig.Runtime ?? services.settings.defaultRuntime);
  if (driver === undefined) throw systemError(`runtime "${hostConfig.Runtime ?? ''}" is not there`);
  await using undo = new Rollback({
    onUndoFailed: (step, err) => log.error('undo failed', { job: 'container.start', container: id, step, err }),
  });
  checkLogDriver(hostConfig.LogConfig);
  checkLinks(services, held.record);
  let endpoints = await allocateEndpoints(services, held.record, undo);
  // As dockerd tells of a start that came to nothing.
  undo.defer('tell that it left its networks', () => {
    for (const endpoint of endpoints) publishNetworkEvent(services, held.record, endpoint, 'disconnect');
  });
  failpoint('start.network-made');
  using ids = mountNamespaceOf(held.record.userns);
  using mounts = await openMounts(services, held.record, undo, ids?.fd);
  using secrets = await secretsOf(services, held.record);
  const joined = joinedNamespaces(services, held.record);
  const sharedShm = sharedMemory(services, held.record, undo);
  giveRealtime(services, held.record);
  const generated = generatedFor(services, held.record, endpoints);
  const { sources } = mounts;
  const plain = specOf(services, held.record, { files: generated.files, sources, joined, sharedShm, secrets });
  const requests = hostConfig.DeviceRequests ?? [];
  const spec =
    requests.length === 0 ? plain : (await import('./cdi.ts')).withRequestedDevices(services, plain, requests);
  const layer = services.layers.readWrite(id);
  if (layer === undefined) throw systemError(`container ${id} has no read-write layer`);
  // One counted mount of the layer; the driver closes its own duplicate.
  using rootfs = layer.mount(ids === undefined ? {} : { usernsFd: ids.fd });
  if (held.record.mounts.some((mount) => mount.chown)) {
    const { chownMounts } = await import('../userns/chown-mounts.ts');
    await chownMounts(services.archive, held.record, { rootfs: rootfs.fd, sources: mounts.sources }, signal);
  }
  const startedAt = rfc3339(nowNs());
  const process = await driver.start({
    id,
    spec,
    rootfs: dup(rootfs.fd, 3),
    stdio: {
      stdin: config.OpenStdin,
      stdout: true,
      stderr: !config.Tty,
      tty: config.Tty,
      ...(config.Tty ? { consoleSize: hostConfig.ConsoleSize } : {}),
    },
    ...(endpoints.every((endpoint) => driverOf(services, endpoint)?.name === 'none')
      ? // The loopback of its own that it has is brought up by the list: it need not wait for us.
        {}
      : {
          network: async (gate) => {
            endpoints = await joinEndpoints(services, held.record, endpoints, gate, undo);
          },
        }),
    meanwhile: generated.write,
    beforeExec: async ({ pid, startTicks }) => {
      failpoint('start.at-gate');
      // The container has it now. Of a program that ends at once ours would be the last reference, and unmounting takes
      // milliseconds of this thread, before the answer.
      rootfs[Symbol.dispose]();
      const fresh = { exitCode: 0, error: '', oomKilled: false, startedAt };
      held.update({
        state: moveTo(held.record.state, { ...fresh, status: 'running', pid, startTicks: String(startTicks) }),
        endpoints,
        networks: withNetworkIds(held.record.networks, endpoints),
      });
      services.names.changed(services);
      refreshLinkRules(services);
      failpoint('start.launched');
    },
    signal,
  });
  failpoint('start.executed');
  undo.commit();
  adopt(services, held.record, driver, process);
  // Its address may be another one than before.
  for (const linker of linkersOf(services, held.record)) refreshFiles(services, linker);
  publishStarted(services, held.record);
}

/** Inspect goes on showing them when the container has ended. */
function withNetworkIds(
  networks: ContainerRecord['networks'],
  endpoints: readonly StoredEndpoint[],
): ContainerRecord['networks'] {
  const fresh = endpoints.filter(({ network, networkId }) => networks[network]?.networkId !== networkId);
  if (fresh.length === 0) return networks;
  const known = { ...networks };
  for (const { network, networkId } of fresh) {
    const wish = known[network];
    if (wish !== undefined) known[network] = { ...wish, networkId };
  }
  return known;
}

/** Few containers have any, so the code is loaded for the first that has. */
async function secretsOf(services: Services, record: ContainerRecord): Promise<OpenedSecrets | undefined> {
  if (record.ofBuild === true) return services.stepMounts.get(record.id);
  if (record.hostConfig.Secrets === undefined) return undefined;
  const { openSecrets } = await import('../secret/use.ts');
  return openSecrets(services, record);
}

function publishStarted(services: Services, record: ContainerRecord): void {
  publishVolumesMounted(services.events, record);
  for (const endpoint of record.endpoints) publishNetworkEvent(services, record, endpoint, 'connect');
  publishContainerEvent(services.events, record, 'start');
}

/** Who shares a network shares what is known of it, as one and the same files. */
function generatedFor(services: Services, record: ContainerRecord, endpoints: readonly StoredEndpoint[]) {
  const other = containerOfMode(record.hostConfig.NetworkMode);
  if (other !== undefined) {
    const files = pathsOf(containerDirectory(services, services.containers.resolve(other).id));
    return { files, write: () => undefined };
  }
  return generatedFilesOf({
    directory: containerDirectory(services, record.id),
    record,
    endpoints,
    links: linkedHosts(services, record),
    named: isServed(services, record, endpoints),
    ...(record.userns === undefined ? {} : { owner: rootOf(record.userns) }),
    defaults: services.settings,
  });
}

function specOf(
  services: Services,
  record: ContainerRecord,
  made: {
    readonly files: GeneratedFiles;
    readonly sources: MountSources;
    readonly joined: JoinedNamespaces;
    readonly sharedShm: string | undefined;
    readonly secrets: OpenedSecrets | undefined;
  },
): Spec {
  const { files, sources, joined, sharedShm, secrets } = made;
  const { settings, isolation, host } = services;
  const { hostConfig } = record;
  const { apparmor } = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  const defaultProfile = hostConfig.Privileged ? '' : isolation.apparmorProfile;
  const wantsInit = hostConfig.Init ?? settings.init;
  return buildSpec({
    record,
    sources,
    ...(secrets === undefined ? {} : { secrets: secrets.mounts, secretEnv: secrets.env }),
    linkEnv: linkVariables(services, record),
    files,
    initFile: wantsInit ? isolation.initFile() : undefined,
    sharedShm,
    cgroupsPath: cgroupPathOf(services, record),
    cgroupVersion: isolation.cgroups.version,
    bounding: host.bounding,
    possibleCpus: host.possibleCpus,
    seccomp: (capabilities) => filterOf(hostConfig, capabilities, services.seccompDefault),
    apparmorProfile: apparmor === undefined ? defaultProfile : apparmor === 'unconfined' ? '' : apparmor,
    joined,
    devices: devicesOf(hostConfig),
    deviceNumbers: blockDevice,
    consoleSize: record.config.Tty ? hostConfig.ConsoleSize : undefined,
    noNewPrivilegesDefault: settings.noNewPrivileges,
    defaultUlimits: settings.containerDefaults.ulimits,
  });
}

/** A failed start: the state is what it was before, and says why; a container that is to be removed is. */
async function recordFailure(services: Services, held: Held, before: ContainerState, error: unknown): Promise<void> {
  const { record } = held;
  const exitCode = exitCodeOf(error);
  const message = messageOf(error);
  held.note({
    desired: 'stopped',
    endpoints: [],
    state: {
      ...before,
      status: before.status === 'restarting' ? 'exited' : before.status,
      pid: 0,
      startTicks: '',
      exitCode,
      error: message,
    },
  });
  keepFailedStart(services, record, exitCode, message);
  services.consoles.end(record.id);
  services.waiters.exited(record.id, { exitCode, error: '' });
  if (record.hostConfig.AutoRemove) await removeHeld(services, held, { volumes: true });
}

function exitCodeOf(error: unknown): number {
  if (error instanceof BerthError) {
    // as: drivers add StartFailure to the errors they throw.
    const { exitCode } = error as BerthError & Partial<StartFailure>;
    if (exitCode === 126 || exitCode === 127) return exitCode;
  }
  return 128;
}

/** By the restart policy. */
export async function restartByPolicy(services: Services, id: string, signal: AbortSignal): Promise<void> {
  await services.containers.run(id, async (held) => {
    if (held.record.state.status === 'restarting') await startHeld(services, held, { signal, byUser: false });
  });
}
