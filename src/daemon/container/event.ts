/** Events of containers: the attributes are the labels, the image and the name, as with dockerd. */
import type { ContainerRecord, StoredEndpoint } from '#container/record.ts';
import type { Events } from '#events/events.ts';
import type { Services } from '../services.ts';

export function publishContainerEvent(
  events: Events,
  record: ContainerRecord,
  action: string,
  attributes: Readonly<Record<string, string>> = {},
  options: { readonly transient?: boolean } = {},
): void {
  events.publish({
    ...options,
    type: 'container',
    action,
    id: record.id,
    attributes: { ...record.config.Labels, ...attributes, image: record.config.Image, name: record.name },
  });
}

export function publishNetworkEvent(
  services: Pick<Services, 'events' | 'networks'>,
  record: ContainerRecord,
  endpoint: StoredEndpoint,
  action: 'connect' | 'disconnect',
): void {
  const { networkId: id, network: name } = endpoint;
  const type = services.networks.get(id)?.record.driver ?? 'bridge';
  services.events.publish({ type: 'network', action, id, attributes: { container: record.id, name, type } });
}

/** The name under which a container's network is listed: 'default' is the bridge. */
export function networkNameOf(record: ContainerRecord): string {
  const mode = record.hostConfig.NetworkMode;
  return mode === 'default' || mode === '' ? 'bridge' : mode;
}

export function publishVolumeEvent(
  events: Events,
  action: 'create' | 'mount' | 'unmount' | 'destroy' | 'rename',
  volume: { readonly name: string; readonly driver: string },
  attributes: Readonly<Record<string, string>>,
): void {
  events.publish({ type: 'volume', action, id: volume.name, attributes: { driver: volume.driver, ...attributes } });
}

/** The volume of a container's mount, for its events. */
function volumeOf(mount: ContainerRecord['mounts'][number]): { readonly name: string; readonly driver: string } {
  return { name: mount.volume, driver: mount.driver === '' ? 'local' : mount.driver };
}

/** Its volumes are mounted, for itself or for who reads its files. */
export function publishVolumesMounted(events: Events, record: ContainerRecord): void {
  for (const mount of record.mounts) {
    if (mount.volume === '') continue;
    publishVolumeEvent(events, 'mount', volumeOf(mount), {
      container: record.id,
      destination: mount.destination,
      propagation: mount.propagation,
      'read/write': String(!mount.readOnly),
    });
  }
}

export function publishVolumesUnmounted(events: Events, record: ContainerRecord): void {
  for (const mount of record.mounts) {
    if (mount.volume !== '') publishVolumeEvent(events, 'unmount', volumeOf(mount), { container: record.id });
  }
}

/** As dockerd writes a command: a blank follows the program also when nothing else does. */
export function commandText([program = '', ...args]: readonly string[]): string {
  return `${program} ${args.join(' ')}`;
}
