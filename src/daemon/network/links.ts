/** Links (legacy): a container's private names for others, as lines of its /etc/hosts. */
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { conflict, invalidParameter } from '#errdefs/errors.ts';
import type { Services } from '../services.ts';

export interface LinkedHost {
  readonly ip: string;
  readonly names: readonly string[];
}

/** 'CONTAINER:ALIAS', or only 'CONTAINER'. */
export function parseLink(link: string): { readonly container: string; readonly alias: string } {
  const [container = '', alias = container, more] = link.split(':');
  if (container === '' || alias === '' || more !== undefined) throw invalidParameter(`bad format for links: ${link}`);
  return { container: container.replace(/^\//, ''), alias: alias.replace(/^.*\//, '') };
}

/** Of `--link` on the default bridge and of each network's endpoint. Errors: conflict when the other does not run. */
export function linkedHosts(services: Pick<Services, 'containers'>, record: ContainerRecord): LinkedHost[] {
  const wanted = [
    ...(record.hostConfig.Links ?? []).map((link) => ({ link, network: 'bridge' })),
    ...Object.entries(record.networks).flatMap(([network, { links }]) => links.map((link) => ({ link, network }))),
  ];
  return wanted.flatMap(({ link, network }) => {
    const { container, alias } = parseLink(link);
    const other = services.containers.resolve(container);
    if (!isRunning(other.state))
      throw conflict(`Cannot link to a non running container: /${other.name} AS /${record.name}/${alias}`);
    const endpoint = other.endpoints.find((one) => one.network === network);
    const names = [...new Set([alias, other.config.Hostname, other.name])];
    return endpoint?.address === undefined ? [] : [{ ip: endpoint.address.ip, names }];
  });
}
