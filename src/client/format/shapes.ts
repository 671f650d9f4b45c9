/**
 * What the types of Docker's client say about the fields of its answers and JSON does not: which objects are maps, and
 * what an absent or null field is. Templates print and test them differently.
 */
import { GoNil, type Shapes } from '#pkg/go-template/values.ts';

const words = (text: string) => text.trim().split(/\s+/);

const MAPS = new Set(
  words(`Labels Annotations Sysctls StorageOpt Tmpfs LogConfig.Config Options DriverOpts PortBindings ExposedPorts Ports
    Volumes Networks Data ConfigOptions Containers IPAMOptions AuxiliaryAddresses Attributes
    Runtimes IndexConfigs Status Details UsageOptions`),
);

const SLICES = new Set(
  words(`CapAdd CapDrop Binds Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links VolumesFrom SecurityOpt Devices
    DeviceCgroupRules DeviceRequests Ulimits MaskedPaths ReadonlyPaths BlkioWeightDevice BlkioDeviceReadBps
    BlkioDeviceWriteBps BlkioDeviceReadIOps BlkioDeviceWriteIOps Mounts Env Cmd Entrypoint OnBuild Shell ExecIDs Aliases
    DNSNames RepoTags RepoDigests Args Layers SecondaryIPAddresses SecondaryIPv6Addresses LinkLocalIPs Warnings
    CDISpecDirs SecurityOptions DriverStatus SystemStatus Plugins Authorization Log Volume Network ConsoleSize`),
);

const TEXTS = new Set(
  words(`StopSignal MacAddress CgroupnsMode Platform HostnamePath ResolvConfPath LogPath ContainerIDFile Isolation Runtime
    AppArmorProfile MountLabel ProcessLabel Author Variant OsVersion Comment Parent Container DockerVersion VolumeDriver
    UsernsMode PidMode UTSMode Cgroup CpusetCpus CpusetMems CgroupParent Name Type Propagation Mode Domainname User
    WorkingDir`),
);

const FALSES = new Set(words('NetworkDisabled ArgsEscaped AutoRemove Tty Experimental'));
const ZEROS = new Set(words('KernelMemory KernelMemoryTCP NanoCpus'));
const POINTERS = new Set(
  words(`Health Healthcheck StopTimeout SizeRw SizeRootFs Init OomKillDisable PidsLimit MemorySwappiness UsageData GraphDriver
    BindOptions VolumeOptions TmpfsOptions ImageOptions IPAMConfig Metadata Manifests Descriptor ImageManifestDescriptor`),
);
/** Nil maps that print as `map[]`. */
const NIL_MAPS = new Set(
  words(`Labels Annotations Sysctls StorageOpt Tmpfs Options DriverOpts PortBindings ExposedPorts Ports
    Volumes Networks IPAMOptions Status`),
);

function empty(field: string): unknown {
  if (SLICES.has(field)) return new GoNil('slice');
  if (NIL_MAPS.has(field)) return new GoNil('map');
  if (POINTERS.has(field)) return new GoNil('pointer');
  if (TEXTS.has(field)) return '';
  if (FALSES.has(field)) return false;
  return ZEROS.has(field) ? 0 : undefined;
}

/** The objects of Docker's API as its client's structs. */
export const DOCKER_TYPES: Shapes = {
  isMap: (field) => MAPS.has(field) || MAPS.has(field.slice(field.lastIndexOf('.') + 1)),
  empty,
  anyCase: true,
  strict: false,
};

/** Rows of a listing: structs of texts, with methods. */
export const ROWS: Shapes = { isMap: () => false, empty: () => undefined, anyCase: false, strict: false };
