/**
 * Creates a container: resolve the image, merge and validate, take id and name, make volumes and the read-write layer,
 * fill volumes from the image, and only then show it. A crash at any line leaves a record that is not `complete`;
 * restore sweeps it with everything it made.
 */
import * as fs from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { ContainerCreateResponse, ContainerConfig, HostConfig } from '#api/types/container.ts';
import type { CreateInput } from '#api/jobs/container.ts';
import { fitResources } from '#container/fit-resources.ts';
import { mountMappings } from '#container/idmap-option.ts';
import { mergeConfig } from '#container/merge-config.ts';
import type { MountSpec } from '#container/mount-spec.ts';
import { withoutImagePolicies } from '#container/network-policy.ts';
import { parseContainerName } from '#container/name.ts';
import type { ContainerRecord } from '#container/record.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { newState } from '#container/state.ts';
import { withSystemdMode } from '#container/systemd-mode.ts';
import type { UserNamespace } from '#container/user-namespace.ts';
import { rootSizeOf, checkConfig, checkHostConfig, containerOfMode, networkWishes } from '#container/validate.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { log } from '#pkg/log/log.ts';
import { generateName } from '#pkg/names/names.ts';
import { Rollback } from '#pkg/rollback/rollback.ts';
import type { Image } from '#image/image.ts';
import { parsePlatform } from '#image/platform.ts';
import { validateLogConfig } from '#logger/log-target.ts';
import type { Services } from '../services.ts';
import { userNamespaceOf } from '../userns/resolve.ts';
import { checkCgroupParent } from './cgroup-path.ts';
import { publishContainerEvent } from './event.ts';
import { fillVolumes, makeMounts, wantedMounts } from './mounts.ts';
import { byNetworkName, checkWishes, networkName } from '../network/check-wish.ts';
import { linksToKeep } from '../network/links.ts';
import { containerDirectory } from './paths.ts';

export async function createContainer(
  services: Services,
  input: CreateInput,
  signal: AbortSignal,
): Promise<ContainerCreateResponse> {
  await services.turns.take();
  const image = resolveImage(services, input.request.Image, input.platform);
  return createFrom(services, input, image, signal);
}

/** What a container is made of: an image, or a state that a build has reached. */
export interface CreateBase extends Pick<Image, 'id' | 'chainId'> {
  readonly config: Pick<Image['config'], 'config'>;
  /** Stands on this snapshot, and is a step's of a build. */
  readonly build?: { readonly snapshot: string | undefined };
}

export async function createFrom(
  services: Services,
  input: Pick<CreateInput, 'request' | 'name'>,
  image: CreateBase,
  signal: AbortSignal,
): Promise<ContainerCreateResponse> {
  const { HostConfig: requestedHost, NetworkingConfig: networking, ...requestedConfig } = input.request;
  const name = input.name === '' ? undefined : parseContainerName(input.name);
  const merged = mergeConfig(requestedConfig, image.config.config ?? {});
  const id = newId(services);
  const asked = withSystemdMode({ asked: requestedConfig.Labels, config: merged, host: requestedHost, id });
  const labels = withoutImagePolicies(merged.Labels, requestedConfig.Labels);
  const config = checkConfig({ ...asked.config, Labels: labels });
  const { resources: hostConfig, warnings } = fitResources(
    withDefaults(services, asked.host),
    services.isolation.limits,
  );
  // Client and mode may name the same network in two ways: by its name and by its id.
  const endpoints = { EndpointsConfig: byNetworkName(services, networking.EndpointsConfig) };
  const networks = networkWishes(endpoints, networkName(services, hostConfig.NetworkMode), config.MacAddress ?? '');
  checkHostConfig(hostConfig, config, {
    ...services.host,
    cgroupVersion: services.isolation.cgroups.version,
    limits: services.isolation.limits,
    runtimes: [...services.runtimes.offered.keys()],
  });
  // Those that the image exposes are no conflict.
  if (
    containerOfMode(hostConfig.NetworkMode) !== undefined &&
    Object.keys(requestedConfig.ExposedPorts ?? {}).length > 0
  ) {
    throw invalidParameter('conflicting options: port exposing and the container type network mode');
  }
  validateLogConfig({ type: hostConfig.LogConfig.Type, options: hostConfig.LogConfig.Config ?? {} });
  if (rootSizeOf(hostConfig) !== undefined) services.layers.assertLimitPossible();
  checkOthers(services, hostConfig);
  checkWishes(services, networks);
  const linked = { ...hostConfig, Links: linksToKeep(services, hostConfig) };
  checkCgroupParent(services, hostConfig.CgroupParent);
  const mounts = wantedMounts(services, hostConfig, config);
  if (hostConfig.Secrets !== undefined) (await import('../secret/use.ts')).checkSecrets(services, hostConfig);

  const hostname = withHostname(services, config, hostConfig, id);
  // Nothing is awaited from here to the record's insertion: the range of ids is taken by it.
  const userns = userNamespaceOf(services, hostConfig);
  checkWritableCgroups(hostConfig, userns);
  for (const mount of mounts) mountMappings(mount, userns);
  const record = recordOf({ services, id, name, image, config: hostname, hostConfig: linked, userns, networks });
  await makeContainer(services, record, mounts, image, signal);
  services.graph.marks.use(image.id);
  const published = hostConfig.NetworkMode === 'host' && Object.keys(hostConfig.PortBindings ?? {}).length > 0;
  const unpublished = published ? ['Published ports are discarded when using host network mode'] : [];
  return { Id: id, Warnings: [...warnings, ...unpublished] };
}

/** The group is the host's root's: inside a user namespace writing would fail at whatever comes first. */
function checkWritableCgroups(host: HostConfig, userns: UserNamespace | undefined): void {
  if (userns === undefined || parseSecurityOptions(host.SecurityOpt ?? []).writableCgroups !== true) return;
  throw invalidParameter('option WritableCgroups conflicts with user namespaces');
}

function resolveImage(services: Services, reference: string, platform: string): Image {
  if (reference === '') throw invalidParameter('no image specified');
  return services.images.resolve(reference, platform === '' ? undefined : parsePlatform(platform));
}

/** What dockerd fills in at create and inspect shows. */
function withDefaults(services: Services, host: HostConfig): HostConfig {
  const { settings } = services;
  const { containerDefaults } = settings;
  const options = parseSecurityOptions(host.SecurityOpt ?? []);
  return {
    ...host,
    NetworkMode: ['', 'default', 'bridge'].includes(host.NetworkMode) ? defaultNetwork(services) : host.NetworkMode,
    IpcMode: host.IpcMode === '' ? containerDefaults.ipcMode : host.IpcMode,
    CgroupnsMode: host.CgroupnsMode === '' ? defaultCgroupns(services, host) : host.CgroupnsMode,
    UsernsMode: host.UsernsMode === '' ? (options.userns ?? '') : host.UsernsMode,
    ...(options.systemPathsUnconfined ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
    ShmSize: host.ShmSize === 0 ? containerDefaults.shmSizeBytes : host.ShmSize,
    Runtime: (host.Runtime ?? '') === '' ? settings.defaultRuntime : (host.Runtime ?? ''),
    MemorySwappiness: host.MemorySwappiness === -1 ? null : host.MemorySwappiness,
    MemorySwap: host.Memory > 0 && host.MemorySwap === 0 ? host.Memory * 2 : host.MemorySwap,
    PidsLimit: host.PidsLimit === 0 ? null : host.PidsLimit,
    // Only where the kernel has it (cgroup v1) there is something to say no to.
    OomKillDisable: services.isolation.limits.oomKillDisable ? (host.OomKillDisable ?? false) : host.OomKillDisable,
    RestartPolicy: host.RestartPolicy.Name === '' ? { ...host.RestartPolicy, Name: 'no' } : host.RestartPolicy,
    LogConfig: logConfigOf(services, host.LogConfig),
    ...(host.Privileged ? { SecurityOpt: [...new Set([...(host.SecurityOpt ?? []), 'label=disable'])] } : {}),
  };
}

/** The daemon's options are those of its driver only; the cache's are for any. */
function logConfigOf({ settings }: Services, asked: HostConfig['LogConfig']): HostConfig['LogConfig'] {
  const type = asked.Type === '' ? settings.logDriver : asked.Type;
  const defaults = Object.entries(settings.logOptions).filter(
    ([name]) => type === settings.logDriver || name.startsWith('cache-'),
  );
  return { Type: type, Config: { ...Object.fromEntries(defaults), ...asked.Config } };
}

function defaultNetwork(services: Services): string {
  return services.networks.byName('bridge') === undefined ? 'none' : 'bridge';
}

function defaultCgroupns(services: Services, host: HostConfig): string {
  // As dockerd: privileged programs expect to see cgroup v1 whole, whatever the default is.
  const { version } = services.isolation.cgroups;
  if (version === 1 && host.Privileged) return 'host';
  const { cgroupnsMode } = services.settings.containerDefaults;
  if (cgroupnsMode !== '') return cgroupnsMode;
  return version === 2 ? 'private' : 'host';
}

/** Containers that modes name must be there. Not a not-found: that sends `docker run` to pull the image. */
function checkOthers(services: Services, host: HostConfig): void {
  const modes = [
    ['network', host.NetworkMode],
    ['pid', host.PidMode],
    ['ipc', host.IpcMode],
  ] as const;
  for (const [kind, mode] of modes) {
    const other = containerOfMode(mode);
    if (other === undefined) continue;
    try {
      services.containers.resolve(other);
    } catch (cause) {
      const what = kind === 'network' ? 'joining network namespace of container: ' : '';
      throw invalidParameter(`${what}${messageOf(cause)}`, { cause });
    }
  }
}

function newId(services: Services): string {
  for (;;) {
    const id = randomBytes(32).toString('hex');
    // A short id that is a number could be taken for one by tools; and it must be new.
    if (!/^\d{12}/.test(id) && services.containers.idIsFree(id)) return id;
  }
}

function withHostname(services: Services, config: ContainerConfig, host: HostConfig, id: string): ContainerConfig {
  if (config.Hostname !== '') return config;
  if (host.NetworkMode === 'host' || host.UTSMode === 'host') return { ...config, Hostname: services.host.hostname };
  const other = containerOfMode(host.NetworkMode);
  if (other !== undefined) return { ...config, Hostname: services.containers.resolve(other).config.Hostname };
  return { ...config, Hostname: id.slice(0, 12) };
}

function recordOf(input: {
  services: Services;
  id: string;
  name: string | undefined;
  image: CreateBase;
  config: ContainerConfig;
  hostConfig: HostConfig;
  userns: UserNamespace | undefined;
  networks: ContainerRecord['networks'];
}): ContainerRecord {
  const { services, id, image, config, hostConfig } = input;
  const [path = '', ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const name = input.name ?? generateName(services.randomInt, (candidate) => services.containers.nameIsFree(candidate));
  return {
    id,
    name,
    createdAt: rfc3339(nowNs()),
    imageId: image.id,
    config,
    hostConfig,
    path,
    args,
    mounts: [],
    driver: services.layers.driverName,
    complete: false,
    state: newState,
    desired: 'stopped',
    manuallyStopped: false,
    restartCount: 0,
    networks: input.networks,
    endpoints: [],
    ...(input.userns === undefined ? {} : { userns: input.userns }),
    ...(image.build === undefined ? {} : { ofBuild: true }),
  };
}

async function makeContainer(
  services: Services,
  record: ContainerRecord,
  wanted: readonly MountSpec[],
  image: CreateBase,
  signal: AbortSignal,
): Promise<void> {
  const { containers, layers, volumes } = services;
  const { id } = record;
  await using undo = new Rollback({
    onUndoFailed: (step, err) => log.error('undo failed', { job: 'container.create', container: id, step, err }),
  });
  containers.insert(record);
  undo.defer('forget container', () => containers.forget(id, () => unlinkVolumes(services, id, record)));
  failpoint('create.recorded');

  await containers.run(id, async (held) => {
    using made = await makeMounts(services, wanted, undo);
    const { mounts } = made;
    // From here on a crash finds the volumes through the record.
    held.update({ mounts }, () => {
      for (const mount of mounts) if (mount.volume !== '') volumes.addUser(mount.volume, id);
    });
    undo.defer('release volumes', () => unlinkVolumes(services, id, { mounts }));
    services.containerDirectories.make(containerDirectory(services, id));
    undo.defer('remove directory', () => fs.rmSync(containerDirectory(services, id), { recursive: true, force: true }));
    const layer = await layers.createReadWrite(id, image.chainId, {
      sizeBytes: rootSizeOf(record.hostConfig) ?? services.settings.rootSizeBytes,
      ...(image.build === undefined ? {} : { snapshot: image.build.snapshot, ofBuild: true }),
    });
    undo.defer('remove layer', () => layers.releaseReadWrite(id));
    failpoint('create.layer-made');
    const toFill = mounts.filter((mount) => mount.type === 'volume' && mount.copyUp);
    if (toFill.length > 0) {
      using rootfs = layer.mount();
      await fillVolumes(services, id, toFill, rootfs.fd, signal);
    }
    signal.throwIfAborted();
    held.update({ complete: true });
    failpoint('create.done');
    undo.commit();
    publishContainerEvent(services.events, held.record, 'create');
  });
}

function unlinkVolumes(services: Services, id: string, record: Pick<ContainerRecord, 'mounts'>): void {
  for (const mount of record.mounts) if (mount.volume !== '') services.volumes.removeUser(mount.volume, id);
}
