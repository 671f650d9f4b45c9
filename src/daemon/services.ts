/**
 * What the verbs of the daemon work with: one object that `startDaemon` wires and each verb takes the part of that it
 * needs. Interfaces of other parts are declared here as far as the daemon uses them.
 */
import type { BuilderSettings } from '#config/builder.ts';
import type { Builder } from '#builder/builder.ts';
import type { ArtifactStore } from '#artifact/artifact-store.ts';
import type { ContainerDefaults } from '#config/container-defaults.ts';
import type { PublishPolicy } from '#container/network-policy.ts';
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import type { ImageSettings } from '#config/images.ts';
import type { LogArchiveBudget } from '#config/log-archive.ts';
import type { EgressView } from '#networkdriver/dns/egress.ts';
import type { EngineSettings } from '#config/engine-settings.ts';
import type { RegistryConfig } from '#config/registries.ts';
import type { Distribution } from '#distribution/distribution.ts';
import type { Engine } from '#engine/engine.ts';
import type { ExecDriver } from '#execdriver/driver.ts';
import type { Events } from '#events/events.ts';
import type { Graph } from '#graph/graph.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import type { ImageStore } from '#image/image-store.ts';
import type { Trust } from '#image/trust/trust.ts';
import type { LayerStore } from '#layer/layer-store.ts';
import type { CgroupHost } from '#libcontainer/cgroups/detect.ts';
import type { KernelLimits } from '#libcontainer/cgroups/kernel-limits.ts';
import type { LogReader } from '#logger/read.ts';
import type { LogSearch } from '#logger/search/log-search.ts';
import type { Shipping } from '#logger/ship/shipping.ts';
import type { BridgeFacts } from '#networkdriver/bridge-options.ts';
import type { LearnedName } from '#libcontainer/firewall/egress-flow.ts';
import type { Rules } from '#libcontainer/firewall/firewall.ts';
import type { ArchivePool } from '#pkg/archive/pool.ts';
import type { ArchiveStreams } from '#pkg/archive/copy-streams.ts';
import type { Turns } from '#pkg/turns/turns.ts';
import type { Pump } from '#stdio/pump.ts';
import type { VolumeDrivers } from '#volume/driver.ts';
import type { RegistriesConf } from '#reference/registries-conf.ts';
import type { Secrets } from '#secret/secrets.ts';
import type { Volumes } from '#volume/volumes.ts';
import type { Consoles } from './container/console.ts';
import type { SeccompDefault } from './container/seccomp.ts';
import type { Containers, Room } from './container/containers.ts';
import type { ContainerDirectories } from './container/directories.ts';
import type { LiveContainers } from './container/live.ts';
import type { LogArchive } from './container/log-archive.ts';
import type { LogLosses } from './container/log-losses.ts';
import type { UpdateHooks } from './container/update-hooks.ts';
import type { Waiters } from './container/waiters.ts';
import type { Execs } from './exec/execs.ts';
import type { FileAccess } from './files/stopped-trees.ts';
import type { HealthWatch } from './health/health-watch.ts';
import type { Endings } from './why/endings.ts';
import type { KilledProcess } from './why/kernel-log.ts';
import type { HostSystem } from './host-facts.ts';
import type { NetworkRecord } from './network/record.ts';
import type { Networks } from './network/registry.ts';
import type { SeenByStep } from './builder/seen.ts';
import type { Runtimes } from './runtimes.ts';
import type { Tasks } from './tasks.ts';
import type { UsernsDefaults } from './userns/resolve.ts';

export interface DaemonSettings {
  readonly dataRoot: string;
  readonly execRoot: string;
  /** Shown by /info. */
  readonly debug: boolean;
  readonly labels: readonly string[];
  readonly defaultRuntime: string;
  readonly noNewPrivileges: boolean;
  /** Limit of what a container writes into its root, when it does not say. */
  readonly rootSizeBytes: number | undefined;
  /** Run `--init` for every container that does not say. */
  readonly init: boolean;
  /** Seconds of `stop` before the kill, when neither request nor container says. */
  readonly stopTimeoutSeconds: number;
  readonly logDriver: string;
  readonly logOptions: Readonly<Record<string, string>>;
  readonly logArchive: LogArchiveBudget;
  readonly images: ImageSettings;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  /** Instead of the host's /etc/resolv.conf. */
  readonly resolvConf: string | undefined;
  /** Shown; asked by the API server. */
  readonly authorizationPlugins: readonly string[];
  readonly builder: BuilderSettings;
  readonly hostGateways: readonly string[];
  /** Of new networks that do not say, by driver. */
  readonly networkOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `default-address-pools`; empty: Docker's. */
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
  /** Of published ports whose container and network do not say. */
  readonly publishPolicy: PublishPolicy;
  readonly containerDefaults: ContainerDefaults;
  readonly registries: RegistryConfig;
  readonly engine: EngineSettings;
}

export interface Isolation {
  readonly cgroups: CgroupHost;
  /** What this kernel can limit. */
  readonly limits: KernelLimits;
  /** Parent of the containers' groups: '/berth' or with the data root's digits. */
  readonly cgroupParent: string;
  /** The default profile, '' without AppArmor. */
  readonly apparmorProfile: string;
  /** Host path of docker-init; made at first use. */
  readonly initFile: () => string;
  /** For /info: what is weaker here than it should be. */
  readonly warnings: readonly string[];
}

export interface BuildFacts {
  readonly version: string;
  readonly commit: string;
  readonly time: string;
}

/** Names of containers for each other (network/name-service.ts). */
export interface Names {
  /** At the gate of a start: before the container's program runs its names can be asked for. */
  serve(services: Services, record: ContainerRecord, endpoints: readonly StoredEndpoint[], namespace: number): void;
  /** A container that runs already: after a restart of the daemon, or since it has come onto such a network. */
  serveRunning(services: Services, record: ContainerRecord): void;
  /** Its networks have changed. */
  refresh(services: Services, record: ContainerRecord): void;
  /** What names have led a container to, of those that it may ask for. */
  learned(container: string): Promise<readonly LearnedName[]>;
  end(container: string): void;
  /** Errors: SysError when port 53 of the address is taken. */
  serveHost(services: Services, address: string): void;
  endHost(): Promise<void>;
  /** Somebody has come, gone or been renamed. */
  changed(services: Services): void;
}

type EgressServices = Pick<Services, 'containers' | 'networks' | 'events'>;

/** What containers may reach outside their networks (network/egress.ts). */
export interface EgressControl {
  /** What follows from a container's label for these endpoints; `fresh`: those that are new. Errors: invalid-parameter. */
  apply(
    services: EgressServices,
    record: ContainerRecord,
    endpoints: readonly StoredEndpoint[],
    fresh?: readonly StoredEndpoint[],
  ): void;
  applyNetwork(services: EgressServices, record: NetworkRecord): void;
  /** A container's or a network's. Idempotent. */
  end(id: string): void;
  /** What names have led to is no longer open; names that are still allowed open it again. */
  forgetKnown(endpoints: readonly StoredEndpoint[]): void;
  /** What the DNS server needs to judge a container's questions. */
  viewOf(services: EgressServices, record: ContainerRecord): EgressView | undefined;
  refusedName(services: EgressServices, container: string, name: string): void;
  /** Before the firewall's tables are written for the first time. */
  restore(services: EgressServices, alive: readonly ContainerRecord[]): void;
  /** After they are there. */
  sweep(): void;
}

export interface Services {
  readonly engine: Engine;
  readonly settings: DaemonSettings;
  readonly build: BuildFacts;
  /** Of this data root, for good. */
  readonly daemonId: string;
  readonly host: HostSystem;
  readonly isolation: Isolation;
  readonly db: GraphDb;
  /** What containers get that do not say, and where ranges of ids come from. */
  readonly userns: UsernsDefaults;
  readonly events: Events;
  readonly containers: Containers;
  readonly room: Room;
  readonly live: LiveContainers;
  readonly consoles: Consoles;
  readonly waiters: Waiters;
  /** Parts that act when a container is updated. */
  readonly updateHooks: UpdateHooks;
  readonly execs: Execs;
  readonly health: HealthWatch;
  readonly endings: Endings;
  /** What the kernel's log says of the last kill for want of memory in a container. */
  readonly oomKillOf: (id: string) => KilledProcess | undefined;
  readonly volumes: Volumes;
  readonly secrets: Secrets;
  /** What steps of builds see besides their files, by container; in memory only. */
  readonly stepMounts: Map<string, SeenByStep>;
  readonly builder: Builder;
  /** Drivers of volumes that are plugins. */
  readonly volumeDrivers: VolumeDrivers;
  readonly layers: LayerStore;
  readonly artifacts: ArtifactStore;
  readonly images: ImageStore;
  readonly graph: Graph;
  /** Asked before and while an image is pulled. */
  readonly trust: Trust;
  /** Short names, blocked registries. */
  readonly registriesConf: () => RegistriesConf;
  /** Pull, push and all else with registries; loaded when it is first asked for. */
  readonly distribution: () => Promise<Distribution>;
  /** Works on whole trees, off the main thread. */
  readonly archive: Pick<ArchivePool, 'chown' | 'copy'>;
  readonly pump: Pump;
  readonly logReader: LogReader;
  readonly shipping: Shipping;
  readonly logLosses: LogLosses;
  readonly logSearch: LogSearch;
  readonly logArchive: LogArchive;
  readonly containerDirectories: ContainerDirectories;
  /** Packs and unpacks for clients. */
  readonly archives: ArchiveStreams;
  /** Who reads or writes files of containers. */
  readonly files: FileAccess;
  readonly tasks: Tasks;
  /** For whatever keeps the main thread for a millisecond and more. */
  readonly turns: Turns;
  /** By the names that HostConfig.Runtime may have. */
  readonly execDrivers: ReadonlyMap<string, ExecDriver>;
  readonly runtimes: Pick<Runtimes, 'offered'>;
  readonly seccompDefault: SeccompDefault;
  readonly networks: Networks;
  readonly names: Names;
  readonly egress: EgressControl;
  /** Of all bridges; made when it is first asked for. */
  readonly firewall: () => Rules;
  /** The default bridge as it is now; undefined with `--bridge none`. */
  readonly bridge: () => BridgeFacts | undefined;
  /** Whether it has a carrier also while no container is on it. Idempotent. */
  readonly carryBridge: (wanted: boolean) => Promise<void>;
  /** When the daemon started, RFC 3339. */
  readonly startedAt: string;
  readonly randomInt: (bound: number) => number;
}
