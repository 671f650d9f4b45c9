/**
 * The request that makes a container again from a newer image: what its user asked for, without what the old image had
 * given it, so that the new image's values count. Volumes without a name go with it. Pure.
 */
import type { ContainerConfig, ContainerCreateRequest } from '#api/types/container.ts';
import type { EndpointSettings } from '#api/types/network.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { NetworkWish } from '#container/network-wish.ts';
import type { ImageRunConfig } from '#image/config.ts';

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

export function recreateRequest(record: ContainerRecord, image: ImageRunConfig): ContainerCreateRequest {
  const { config, hostConfig } = record;
  return {
    ...withoutImage(config, image, record.id),
    HostConfig: { ...hostConfig, Binds: [...(hostConfig.Binds ?? []), ...anonymousVolumes(record)] },
    NetworkingConfig: {
      EndpointsConfig: Object.fromEntries(
        Object.entries(record.networks).map(([name, wish]) => [name, endpointOf(wish)] as const),
      ),
    },
  };
}

function withoutImage(config: ContainerConfig, image: ImageRunConfig, id: string): ContainerConfig {
  const left: ContainerConfig = { ...config };
  // An entrypoint of its own took the image's command away: both are its user's then.
  if (same(config.Entrypoint, image.Entrypoint)) {
    left.Entrypoint = null;
    if (same(config.Cmd, image.Cmd)) left.Cmd = null;
  }
  left.Env = (config.Env ?? []).filter((entry) => image.Env?.includes(entry) !== true);
  left.Labels = Object.fromEntries(
    Object.entries(config.Labels ?? {}).filter(([key, value]) => image.Labels?.[key] !== value),
  );
  left.Volumes = without(config.Volumes, image.Volumes);
  const ports = without(config.ExposedPorts, image.ExposedPorts);
  delete left.ExposedPorts;
  if (ports !== null) left.ExposedPorts = ports;
  if (same(config.WorkingDir, image.WorkingDir)) left.WorkingDir = '';
  if (same(config.User, image.User)) left.User = '';
  if (same(config.StopSignal, image.StopSignal)) delete left.StopSignal;
  if (same(config.Healthcheck, image.Healthcheck)) delete left.Healthcheck;
  if (same(config.Shell, image.Shell)) delete left.Shell;
  // The default name is that of the id.
  if (config.Hostname === id.slice(0, 12)) left.Hostname = '';
  return left;
}

function without<T>(
  own: Record<string, T> | null | undefined,
  image: Readonly<Record<string, unknown>> | null | undefined,
): Record<string, T> | null {
  const left = Object.entries(own ?? {}).filter(([key]) => image?.[key] === undefined);
  return left.length === 0 ? null : Object.fromEntries(left);
}

/** Volumes that nobody has named are found by name from now on. */
function anonymousVolumes({ mounts, hostConfig }: ContainerRecord): string[] {
  const asked = [
    ...(hostConfig.Binds ?? []).map((bind) => bind.split(':')[1] ?? ''),
    ...(hostConfig.Mounts ?? []).flatMap(({ Source, Target }) => ((Source ?? '') === '' ? [] : [Target])),
  ];
  return mounts
    .filter(({ volume, destination }) => volume !== '' && !asked.includes(destination))
    .map(({ volume, destination }) => `${volume}:${destination}`);
}

function endpointOf(wish: NetworkWish): EndpointSettings {
  const { ip, ip6, linkLocal = [] } = wish;
  const hasAddress = ip !== '' || ip6 !== '' || linkLocal.length > 0;
  return {
    IPAMConfig: hasAddress
      ? {
          ...(ip === '' ? {} : { IPv4Address: ip }),
          ...(ip6 === '' ? {} : { IPv6Address: ip6 }),
          ...(linkLocal.length === 0 ? {} : { LinkLocalIPs: [...linkLocal] }),
        }
      : null,
    Links: [...wish.links],
    Aliases: [...wish.aliases],
    MacAddress: wish.mac,
    DriverOpts: wish.driverOpts === null ? null : { ...wish.driverOpts },
    GwPriority: wish.gwPriority,
    NetworkID: '',
    EndpointID: '',
    Gateway: '',
    IPAddress: '',
    IPPrefixLen: 0,
    IPv6Gateway: '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}
