/**
 * Links (legacy): a container's private names for others. On the default bridge as lines of its /etc/hosts and variables,
 * on networks of users as names that the DNS server answers to this container alone.
 */
import type { HostConfig } from '#api/types/host-config.ts';
import { linkEnv } from '#container/link-env.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { containerOfMode } from '#container/validate.ts';
import { BerthError, conflict, invalidParameter, messageOf, notFound } from '#errdefs/errors.ts';
import type { NamedEndpoint } from '#networkdriver/dns/tables.ts';
import type { Services } from '../services.ts';
import { isPredefined } from './names.ts';

export interface LinkedHost {
  readonly ip: string;
  readonly names: readonly string[];
}

type Wanted = Pick<Services, 'containers'>;

const BRIDGE = 'bridge';

/** 'CONTAINER:ALIAS', or only 'CONTAINER'. */
function parseLink(link: string): { readonly container: string; readonly alias: string } {
  const [container = '', alias = container, more] = link.split(':');
  if (container === '' || alias === '' || more !== undefined) throw invalidParameter(`bad format for links: ${link}`);
  return { container: container.replace(/^\//, ''), alias: alias.replace(/^.*\//, '') };
}

/** On networks of users the links are those of the endpoints. */
const onDefaultBridge = ({ NetworkMode: mode }: HostConfig): boolean =>
  isPredefined(mode) && containerOfMode(mode) === undefined;

/** As they are kept: by id, so that they survive another name. Errors: invalid-parameter when the other is not there. */
export function linksToKeep(services: Wanted, hostConfig: HostConfig): string[] | null {
  const { Links: links } = hostConfig;
  if (links === null || !onDefaultBridge(hostConfig)) return links;
  return links.map((link) => {
    const { container, alias } = parseLink(link);
    try {
      return `${services.containers.resolve(container).id}:${alias}`;
    } catch (cause) {
      throw invalidParameter(`could not get container for ${container}: ${messageOf(cause)}`, { cause });
    }
  });
}

interface Linked {
  readonly other: ContainerRecord;
  readonly alias: string;
}

/** Of the default bridge; a link ends with its container. */
function bridgeLinks(services: Wanted, { hostConfig }: ContainerRecord): Linked[] {
  if (hostConfig.Links === null || !onDefaultBridge(hostConfig)) return [];
  return hostConfig.Links.flatMap((link) => {
    const { container, alias } = parseLink(link);
    const other = existing(services, container);
    return other === undefined ? [] : [{ other, alias }];
  });
}

function existing(services: Wanted, reference: string): ContainerRecord | undefined {
  try {
    return services.containers.resolve(reference);
  } catch (error) {
    if (error instanceof BerthError) return undefined;
    throw error;
  }
}

/** Before a start. Errors: conflict when another one does not run. */
export function checkLinks(services: Wanted, record: ContainerRecord): void {
  for (const { other, alias } of bridgeLinks(services, record)) {
    if (isRunning(other.state)) {
      if (other.networks['bridge'] !== undefined) continue;
      throw conflict(`Cannot link to /${other.name}, as it does not belong to the default network`);
    }
    throw conflict(`Cannot link to a non running container: /${other.name} AS /${record.name}/${alias}`);
  }
}

const addressOf = (other: ContainerRecord, network: string) => {
  const endpoint = isRunning(other.state) ? other.endpoints.find((one) => one.network === network) : undefined;
  return { ip: endpoint?.address?.ip, ip6: endpoint?.address6?.ip };
};

/** Lines of /etc/hosts. */
export function linkedHosts(services: Wanted, record: ContainerRecord): LinkedHost[] {
  return bridgeLinks(services, record).flatMap(({ other, alias }) => {
    const { ip } = addressOf(other, BRIDGE);
    const names = [...new Set([alias, other.config.Hostname, other.name])];
    return ip === undefined ? [] : [{ ip, names }];
  });
}

/** Variables of its processes. */
export function linkVariables(services: Wanted, record: ContainerRecord): string[] {
  return bridgeLinks(services, record).flatMap(({ other, alias }) => {
    const { ip } = addressOf(other, BRIDGE);
    const name = `/${record.name}/${alias}`;
    return ip === undefined ? [] : linkEnv({ alias, name, ip, config: other.config });
  });
}

/** Pairs of addresses on the default bridge, of both families: who is linked to whom. */
export function linkedEndpoints(
  services: Wanted,
  record: ContainerRecord,
): { readonly from: string; readonly to: string; readonly other: ContainerRecord }[] {
  const own = addressOf(record, BRIDGE);
  return bridgeLinks(services, record).flatMap(({ other }) => {
    const its = addressOf(other, BRIDGE);
    return (
      [
        [own.ip, its.ip],
        [own.ip6, its.ip6],
      ] as const
    ).flatMap(([from, to]) => (from === undefined || to === undefined ? [] : [{ from, to, other }]));
  });
}

/** Names that the DNS server answers to this container. */
export function linkedNames(services: Wanted, record: ContainerRecord): NamedEndpoint[] {
  return Object.entries(record.networks).flatMap(([network, { links }]) =>
    links.flatMap((link) => {
      const { container, alias } = parseLink(link);
      const other = existing(services, container);
      const { ip, ip6 } = other === undefined ? {} : addressOf(other, network);
      if (ip === undefined && ip6 === undefined) return [];
      return [{ names: [alias], ...(ip === undefined ? {} : { ip }), ...(ip6 === undefined ? {} : { ip6 }) }];
    }),
  );
}

/** As inspect shows them: '/db:/web/alias'. */
export function shownLinks(services: Wanted, record: ContainerRecord): string[] | null {
  if (!onDefaultBridge(record.hostConfig)) return record.hostConfig.Links;
  const shown = bridgeLinks(services, record).map(({ other, alias }) => `/${other.name}:/${record.name}/${alias}`);
  return shown.length === 0 ? null : shown;
}

/** Names that containers have by the links of others, by id. */
export function namesByLinks(services: Wanted): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const record of services.containers.all()) {
    for (const { other, alias } of bridgeLinks(services, record)) {
      names.set(other.id, [...(names.get(other.id) ?? []), `/${record.name}/${alias}`]);
    }
  }
  return names;
}

/** `docker rm --link /web/alias`. Errors: conflict for a container's own name; not-found. */
export async function removeLink(services: Wanted, reference: string): Promise<void> {
  const [parent = '', alias] = reference.replace(/^\//, '').split('/');
  if (alias === undefined) {
    services.containers.resolve(reference);
    throw conflict('Conflict, cannot remove the default link name of the container');
  }
  const unknown = () => notFound(`No such container: ${reference}`);
  const found = existing(services, parent);
  if (found === undefined) throw unknown();
  await services.containers.run(found.id, async (held) => {
    const { hostConfig } = held.record;
    const links = (hostConfig.Links ?? []).filter((link) => parseLink(link).alias !== alias);
    if (links.length === (hostConfig.Links ?? []).length) throw unknown();
    held.update({ hostConfig: { ...hostConfig, Links: links.length === 0 ? null : links } });
  });
}

/** Those that run and have a line for this one in their /etc/hosts. */
export function linkersOf(services: Wanted, { id }: ContainerRecord): ContainerRecord[] {
  return services.containers
    .all()
    .filter((record) => isRunning(record.state) && bridgeLinks(services, record).some(({ other }) => other.id === id));
}
