/**
 * Wires the services, repairs what the last daemon left, and installs the jobs. After `startDaemon` the engine can do
 * all that the daemon can; `stop` lets go of everything while containers go on.
 */
import { createHash, randomInt, randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Builder } from '#builder/builder.ts';
import { ArtifactStore } from '#artifact/artifact-store.ts';
import type { DaemonConfig } from '#config/daemon-config.ts';
import { checkUlimits } from '#container/resources.ts';
import { ContentStore } from '#content/content-store.ts';
import type { Engine } from '#engine/engine.ts';
import { JobMetrics } from '#engine/job-metrics.ts';
import { Events } from '#events/events.ts';
import { invalidParameter, notFound, notImplemented } from '#errdefs/errors.ts';
import { Graph } from '#graph/graph.ts';
import { GraphDb } from '#graphdb/graphdb.ts';
import { ProjectIds } from '#graphdb/project-ids.ts';
import { openGraphDriver } from '#graphdriver/open.ts';
import { ImageStore } from '#image/image-store.ts';
import { BlobSources } from '#distribution/blob-sources.ts';
import { LayoutIndex } from '#image/layout-index.ts';
import { Trust } from '#image/trust/trust.ts';
import { LayerStore } from '#layer/layer-store.ts';
import { DEFAULT_PROFILE } from '#libcontainer/apparmor/profile.ts';
import { detectApparmor, ensureDefaultProfile } from '#libcontainer/apparmor/apparmor.ts';
import { detectCgroups } from '#libcontainer/cgroups/detect.ts';
import { kernelLimits } from '#libcontainer/cgroups/kernel-limits.ts';
import { type CgroupLayout, planLayout } from '#libcontainer/cgroups/layout.ts';
import { installDockerInit } from '#libcontainer/init/init.ts';
import { LogPacker } from '#logger/log-packer.ts';
import { LogReader } from '#logger/read.ts';
import { LogSearch } from '#logger/search/log-search.ts';
import { Shipping } from '#logger/ship/shipping.ts';
import { ArchivePool } from '#pkg/archive/pool.ts';
import { ArchiveStreams } from '#pkg/archive/copy-streams.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { runCommand } from '#pkg/command/command.ts';
import { log } from '#pkg/log/log.ts';
import { Pump } from '#stdio/pump.ts';
import { VolumeQuota } from '#volume/quota.ts';
import { Secrets } from '#secret/secrets.ts';
import { type CopyTree, LocalVolumes } from '#volume/local.ts';
import { PluginDrivers } from '#volume/plugin-driver.ts';
import { Volumes } from '#volume/volumes.ts';
import { buildBackend } from './builder/backend.ts';
import { restoreBuilds } from './builder/restore.ts';
import { restoreReplacements } from './auto-update/replace.ts';
import { Ballast } from './ballast.ts';
import { checkCgroupParent } from './container/cgroup-path.ts';
import { Consoles } from './container/console.ts';
import { Containers } from './container/containers.ts';
import { ContainerDirectories } from './container/directories.ts';
import { LiveContainers } from './container/live.ts';
import { publishContainerEvent } from './container/event.ts';
import { LogArchive } from './container/log-archive.ts';
import { LogLosses } from './container/log-losses.ts';
import { UpdateHooks } from './container/update-hooks.ts';
import { reconfigureLog } from './container/reconfigure-log.ts';
import { Waiters } from './container/waiters.ts';
import { Execs } from './exec/execs.ts';
import { FileLeases } from './files/leases.ts';
import { StoppedTrees } from './files/stopped-trees.ts';
import { HealthMonitor } from './health/health-monitor.ts';
import { HealthStates } from './health/health-states.ts';
import { readHost } from './host-facts.ts';
import { ImageGovernor } from './image/governor.ts';
import { installImageUpkeep } from './image/upkeep-jobs.ts';
import { registriesReader } from './image/registries.ts';
import { seccompDefaultOf } from './container/seccomp.ts';
import { mountedArtifacts } from './artifact/mounted.ts';
import { openDistribution } from './image/open-distribution.ts';
import { insecureHosts } from './image/where.ts';
import { installJobs } from './jobs.ts';
import { NameService } from './network/name-service.ts';
import { Egress } from './network/egress.ts';
import { reconfigureEgress } from './network/egress-update.ts';
import { restoreHostNames } from './network/host-names.ts';
import { openNetworks } from './network/open.ts';
import { restore } from './restore/restore.ts';
import type { BuildFacts, DaemonSettings, Isolation, Services } from './services.ts';
import { candidatesOf } from '#reference/registries-conf.ts';
import { Runtimes } from './runtimes.ts';
import { Tasks } from './tasks.ts';
import { Turns } from '#pkg/turns/turns.ts';
import { Endings } from './why/endings.ts';
import { lastOomKill } from './why/kernel-log.ts';
import { rewatchOom } from './why/oom.ts';
import { poolOf } from './userns/ranges.ts';
import { remapOf } from './userns/remap.ts';
import type { UsernsDefaults } from './userns/resolve.ts';
import { systemFiles } from './userns/subordinate-ids.ts';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly engine: Engine;
  /** Hears of the engine's jobs. */
  readonly jobMetrics?: JobMetrics;
  readonly build?: BuildFacts;
}

export interface Daemon {
  /** What SIGHUP may change. */
  reload(config: DaemonConfig): void;
  /** Lets go of everything; containers go on. */
  stop(): Promise<void>;
}

const DEFAULT_DATA_ROOT = '/var/lib/berth';
const DAEMON_KIND = 'daemon';
const PARSER_LIMIT_MS = 20_000;
const thisBuild: BuildFacts = { version: '0.1.0', commit: 'unknown', time: '' };

/** Preconditions: data root and exec root exist and are locked by this process. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { config, engine } = options;
  const { dataRoot, execRoot } = config;
  await using undo = new AsyncDisposableStack();
  for (const name of ['containers', 'tmp']) fs.mkdirSync(path.join(dataRoot, name), { recursive: true, mode: 0o710 });
  const pumpStarting = Pump.start({ execRoot });
  const db = undo.use(GraphDb.open(path.join(dataRoot, 'graph.db')));
  const host = readHost();
  const pool = new ArchivePool();
  undo.defer(() => pool.close());
  const archives = new ArchiveStreams();
  undo.defer(() => archives.close());
  const driver = openGraphDriver({ dataRoot: config.dataRoot, name: config.storageDriver ?? '', pool });
  undo.defer(() => driver.close());
  const projects = new ProjectIds(db, dataRoot);
  const layers = LayerStore.open({
    driver,
    db,
    pool,
    lostAndFound: path.join(dataRoot, 'lost+found'),
    projects,
    recordsTars: () => !settings.current.images.keepBlobs,
    bootId: host.bootId,
  });
  if (config.rootSizeBytes !== undefined) layers.assertLimitPossible();
  const content = ContentStore.open(path.join(dataRoot, 'content'));
  undo.defer(() => content.close());
  const settings = { current: settingsOf(config) };
  const registriesConf = registriesReader(() => settings.current.images.registriesFile);
  const candidates = (text: string) => candidatesOf(registriesConf(), text);
  const sources = new BlobSources(db);
  const mayDrop = (digest: string) => !settings.current.images.keepBlobs && sources.all(digest).length > 0;
  const images = ImageStore.open({ content, layers, db, now: () => new Date(), candidates, mayDrop });
  const graph = new Graph({ images, layers, db, trashMs: () => settings.current.images.trashMs });
  const trust = new Trust(() => settings.current.images);
  const registriesOf = (known: DaemonSettings['registries']): DaemonSettings['registries'] => ({
    ...known,
    insecureRegistries: [...known.insecureRegistries, ...insecureHosts(registriesConf())],
  });
  const distribution = openDistribution({
    images,
    content,
    db,
    trust,
    registries: () => registriesOf(settings.current.registries),
  });
  undo.defer(() => distribution.close());
  await graph.reconcile();
  const suffix = suffixOf(dataRoot);
  const layout = planLayout({ host: detectCgroups(), ...(suffix === undefined ? {} : { suffix }) });
  const runtimes = new Runtimes({ execRoot, cgroups: layout });
  runtimes.configure(config);
  undo.defer(() => closeAll(new Set(runtimes.drivers.values())));
  const startedAt = rfc3339(nowNs());
  const names = new NameService();
  const networks = openNetworks({
    ...{ config, suffix, db, startedAt },
    repaired: () => names.repaired(),
    remade: () => tasks.spawn('host-names', () => restoreHostNames(services)),
  });
  undo.defer(() => networks.close());
  const egress = new Egress(networks.firewall);
  undo.defer(() => egress.close());
  undo.defer(() => names.close());
  const pump = await pumpStarting;
  undo.defer(() => pump.close());
  const packer = new LogPacker((file) => pump.packed(file));
  const shipping = new Shipping({
    pause: (id, on) => services.consoles.pause(id, on),
    lost: (id, lines, reason) => services.logLosses.add(id, lines, reason),
  });
  undo.defer(() => shipping.close());
  const logSearch = new LogSearch();
  undo.defer(() => logSearch.close());
  undo.defer(() => packer.close());
  const tasks = new Tasks();
  undo.defer(() => tasks.stop());
  const room = new Ballast(dataRoot);
  const volumeDrivers = new PluginDrivers();
  const copyTree: CopyTree = (from, to, o) => pool.copy(from, to, o);
  const localVolumes = new LocalVolumes({
    root: path.join(dataRoot, 'volumes'),
    lostAndFound: path.join(dataRoot, 'lost+found'),
    copy: copyTree,
  });
  const events = new Events(db);
  const containers = new Containers(db, room);
  const builder = new Builder({
    backend: buildBackend(() => services),
    images,
    layers,
    content,
    archives,
    db,
    root: path.join(dataRoot, 'builder'),
    bootId: host.bootId,
    now: () => new Date(),
  });
  undo.defer(() => builder.close());
  const artifacts = new ArtifactStore({
    content,
    db,
    directory: path.join(dataRoot, 'artifacts'),
    now: () => new Date(),
    inUse: () => mountedArtifacts(containers.all()),
  });
  const services: Services = {
    engine,
    get settings() {
      return settings.current;
    },
    build: options.build ?? thisBuild,
    daemonId: daemonIdOf(db),
    host,
    isolation: await isolationOf(config, layout),
    seccompDefault: seccompDefaultOf(config.containerDefaults.seccompProfile),
    db,
    userns: usernsOf(config, suffix),
    events,
    containers,
    room,
    live: new LiveContainers(),
    consoles: new Consoles(pump, shipping, path.join(dataRoot, 'containers')),
    waiters: new Waiters(),
    updateHooks: new UpdateHooks(),
    execs: new Execs(db),
    endings: new Endings(db),
    oomKillOf: (id) => lastOomKill(`/${id}`),
    health: new HealthMonitor(new HealthStates(db), () => services),
    volumes: new Volumes({
      local: localVolumes,
      db,
      drivers: volumeDrivers,
      quota: new VolumeQuota(path.join(dataRoot, 'volumes'), projects),
    }),
    volumeDrivers,
    secrets: new Secrets({ dataRoot, db }),
    stepMounts: new Map(),
    builder,
    layers,
    images,
    artifacts,
    graph,
    trust,
    registriesConf,
    distribution: distribution.get,
    archive: pool,
    pump,
    logReader: new LogReader(),
    shipping,
    logSearch,
    containerDirectories: undo.use(new ContainerDirectories(path.join(dataRoot, 'spare'))),
    logArchive: new LogArchive(path.join(dataRoot, 'log-archive'), () => settings.current.logArchive),
    logLosses: new LogLosses({
      known: (id) => containers.get(id) !== undefined,
      publish: (id, attributes) => {
        const record = containers.get(id);
        if (record !== undefined) publishContainerEvent(events, record, 'log_lost', attributes);
      },
    }),
    archives,
    files: { leases: new FileLeases(), stopped: new StoppedTrees() },
    tasks,
    turns: new Turns(),
    execDrivers: runtimes.drivers,
    runtimes,
    networks: networks.networks,
    names,
    egress,
    firewall: networks.firewall,
    bridge: networks.bridge,
    carryBridge: networks.carryBridge,
    startedAt,
    randomInt: (bound) => randomInt(bound),
  };
  undo.defer(() => services.events.flush());
  checkDefaults(services);
  undo.defer(() => services.logLosses.close());
  pump.setHooks({
    rotated: (file) => packer.add(file),
    logFailed: ({ path: file, lines, error }) =>
      services.logLosses.ofFile(file, lines, error ?? 'it could not be written'),
  });
  undo.defer(() => services.endings.flush());
  undo.defer(() => services.health.stop());
  services.updateHooks.add('logs', (change) => reconfigureLog(services, change));
  services.updateHooks.add('health', ({ record }) => services.health.reconfigure(record));
  services.updateHooks.add('egress', (change) => reconfigureEgress(services, change));
  services.updateHooks.add('oom', ({ record }) => rewatchOom(services, record));
  const governor = undo.use(new ImageGovernor(services));
  undo.use(new LayoutIndex(images));
  installImageUpkeep(services, governor);
  installJobs(services, options.jobMetrics ?? new JobMetrics());
  await restore(services);
  await restoreHostNames(services);
  await restoreBuilds(services);
  artifacts.sweep();
  await restoreReplacements(services);
  // Everybody who owns blobs has said so by now.
  content.collectSoon();
  const held = undo.move();
  return {
    reload: (next) => {
      runtimes.configure(next);
      const { debug, labels, defaultRuntime, logArchive, registries } = next;
      const { images: imageSettings, authorizationPlugins, builder: builderSettings } = next;
      const reread = { debug, labels, defaultRuntime, logArchive, images: imageSettings, registries };
      const { shmSizeBytes, ipcMode, cgroupnsMode } = next.containerDefaults;
      const containerDefaults = { ...settings.current.containerDefaults, shmSizeBytes, ipcMode, cgroupnsMode };
      const more = { containerDefaults, authorizationPlugins, builder: builderSettings };
      settings.current = { ...settings.current, ...reread, ...more };
      governor.reconfigure();
      reloaded(services);
    },
    stop: () => held.disposeAsync(),
  };
}

/** What only this host can say about the configuration. Errors: invalid-parameter, not-implemented. */
function checkDefaults(services: Services): void {
  const { ulimits, cgroupParent, realtimePeriodUs, realtimeRuntimeUs } = services.settings.containerDefaults;
  checkUlimits({ Ulimits: [...ulimits] });
  checkCgroupParent(services, cgroupParent);
  if ((realtimePeriodUs > 0 || realtimeRuntimeUs > 0) && !services.isolation.limits.cpuRealtime) {
    throw invalidParameter('daemon-scoped cpu-rt-period and cpu-rt-runtime are not supported by the kernel');
  }
}

/** Six hex digits that keep the kernel objects of daemons apart; undefined for the default data root. */
export function suffixOf(dataRoot: string): string | undefined {
  if (dataRoot === DEFAULT_DATA_ROOT) return undefined;
  return createHash('sha256').update(dataRoot).digest('hex').slice(0, 6);
}

function usernsOf(config: DaemonConfig, suffix: string | undefined): UsernsDefaults {
  const { usernsRemap: remap } = config;
  const files = { ...systemFiles, passwd: '/etc/passwd', group: '/etc/group' };
  return {
    remap: remap === undefined || remap === 'auto' ? remap : remapOf(remap, files),
    pool: poolOf(config.usernsPool, systemFiles, suffix),
  };
}

async function closeAll(drivers: Iterable<{ close(): Promise<void> }>): Promise<void> {
  for (const driver of drivers) await driver.close();
}

function settingsOf(config: DaemonConfig): DaemonSettings {
  return {
    dataRoot: config.dataRoot,
    execRoot: config.execRoot,
    debug: config.debug,
    labels: config.labels,
    defaultRuntime: config.defaultRuntime,
    rootSizeBytes: config.rootSizeBytes,
    noNewPrivileges: config.noNewPrivileges,
    init: config.init,
    stopTimeoutSeconds: config.stopTimeoutSeconds,
    logDriver: config.logDriver,
    logOptions: config.logOptions,
    logArchive: config.logArchive,
    images: config.images,
    dns: config.dns,
    dnsSearch: config.dnsSearch,
    dnsOptions: config.dnsOptions,
    resolvConf: config.resolvConf,
    authorizationPlugins: config.authorizationPlugins,
    builder: config.builder,
    hostGateways: config.networkDefaults.hostGateways,
    networkOptions: config.networkDefaults.options,
    addressPools: config.networkDefaults.pools,
    publishPolicy: config.networkDefaults.publishPolicy,
    containerDefaults: config.containerDefaults,
    registries: config.registries,
    engine: config.engine,
  };
}

/** Errors: not-implemented for what is not in force on this host, not-found for a program that is not there. */
function checkHost({ engine }: DaemonConfig, layout: CgroupLayout): void {
  const inForce = layout.host.systemd ? 'systemd' : 'cgroupfs';
  const { cgroupDriver: asked = inForce, initPath } = engine;
  if (asked !== inForce) {
    throw notImplemented(
      `Cannot honour "exec-opts" with native.cgroupdriver=${asked}: the groups of this host are ${inForce}'s`,
    );
  }
  if (initPath !== '' && !fs.existsSync(initPath))
    throw notFound(`Cannot honour "init-path": no such file: ${initPath}`);
}

async function isolationOf(config: DaemonConfig, layout: CgroupLayout): Promise<Isolation> {
  checkHost(config, layout);
  const { initPath } = config.engine;
  const warnings: string[] = [];
  const apparmor = detectApparmor();
  let apparmorProfile = '';
  try {
    const without = await ensureDefaultProfile({
      host: apparmor,
      cacheDirectory: path.join(config.dataRoot, 'apparmor'),
      run: (program, args, input) => runCommand({ program, args, input, timeoutMs: PARSER_LIMIT_MS }),
    });
    if (without === undefined) apparmorProfile = DEFAULT_PROFILE;
    else if (apparmor.enabled) warnings.push(`WARNING: No AppArmor: ${without}`);
  } catch (error) {
    log.error('the default AppArmor profile is not loaded', { err: error });
    warnings.push('WARNING: No AppArmor: the default profile cannot be loaded');
  }
  return {
    cgroups: layout.host,
    limits: kernelLimits(layout.host),
    cgroupParent: layout.parent,
    apparmorProfile,
    initFile: () => initPath || installDockerInit(path.join(config.execRoot, 'bin')),
    warnings,
  };
}

function daemonIdOf(db: GraphDb): string {
  const document = db.get(DAEMON_KIND, 'identity');
  const known: unknown = typeof document === 'object' && document !== null ? Reflect.get(document, 'id') : undefined;
  if (typeof known === 'string') return known;
  const id = randomUUID();
  db.put(DAEMON_KIND, 'identity', { id });
  return id;
}

function reloaded(services: Services): void {
  services.events.publish({
    type: 'daemon',
    action: 'reload',
    id: services.daemonId,
    attributes: { name: services.host.hostname, debug: String(services.settings.debug) },
  });
}
