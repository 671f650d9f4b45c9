/** What the sets of our tables have of bridges, their ports, and ports of the host. Pure. */
import type { FirewallLinked } from './linked-text.ts';
import { addressPart, linkPart, macPart, networkPart, numberPart, type Part, portPart, protocolPart } from './parts.ts';
import type { FirewallBridge, FirewallPort, FirewallPublished } from './state.ts';

/** One element of a set or, with a value, of a map. */
export interface Element {
  readonly family: 'inet' | 'bridge' | 'ip' | 'ip6';
  readonly set: string;
  readonly key: readonly Part[];
  readonly value?: readonly Part[];
}

export interface ElementChange {
  readonly verb: 'add' | 'delete';
  readonly element: Element;
}

const textOf = (parts: readonly Part[]): string => parts.map(({ text }) => text).join(' . ');

/** As nft writes it within the braces. */
export const elementText = ({ key, value }: Element): string =>
  value === undefined ? textOf(key) : `${textOf(key)} : ${textOf(value)}`;

/** The same for the same element of the same set. */
const identityOf = (element: Element): string => `${element.family} ${element.set} ${elementText(element)}`;

/** Lines that fill empty sets. */
export function fillText(table: string, elements: readonly Element[]): string {
  const sets = Map.groupBy(elements, ({ family, set }) => `${family} ${table} ${set}`);
  return [...sets].map(([set, all]) => `add element ${set} { ${all.map(elementText).join(', ')} }\n`).join('');
}

/** Makes sets that have `before` have `after`. What goes comes first: it may have the key of what comes. */
export function changesBetween(before: readonly Element[], after: readonly Element[]): ElementChange[] {
  const [old, wanted] = [before, after].map((all) => new Map(all.map((element) => [identityOf(element), element])));
  const without = (all = new Map<string, Element>(), others = new Map<string, Element>()) =>
    [...all].filter(([identity]) => !others.has(identity)).map(([, element]) => element);
  return [
    ...without(old, wanted).map((element) => ({ verb: 'delete' as const, element })),
    ...without(wanted, old).map((element) => ({ verb: 'add' as const, element })),
  ];
}

const isIpv6 = (text: string): boolean => text.includes(':');
const versionOf = (text: string): '4' | '6' => (isIpv6(text) ? '6' : '4');

/** What the sets of `inet` have of all bridges. */
export function bridgeElements(bridges: readonly FirewallBridge[]): Element[] {
  return bridges.flatMap((bridge): Element[] => {
    const { open = [], routed = [], trusted = [], sourceAddresses = [], subnets } = bridge;
    const name = linkPart(bridge.name);
    const leaves = (masquerade: boolean): boolean => masquerade && !bridge.internal;
    const of = (set: string, ...key: readonly Part[]): Element => ({ family: 'inet', set, key });
    return [
      of('bridges', name),
      ...(bridge.interContainer ? [of('icc', name, name)] : []),
      ...(bridge.internal ? [of('internal', name)] : []),
      ...(leaves(bridge.masquerade) ? [of('masq4', name)] : []),
      ...(leaves(bridge.masquerade6 ?? bridge.masquerade) ? [of('masq6', name)] : []),
      ...open.map((family) => of(family === 'four' ? 'open4' : 'open6', name)),
      ...routed.map((family) => of(family === 'four' ? 'ping4' : 'ping6', name)),
      ...trusted.map((link) => of('trusted', linkPart(link), name)),
      ...sourceAddresses.map((ip) => ({ ...of(`snat${versionOf(ip)}`, name), value: [addressPart(ip)] })),
      ...subnets.map((subnet) => of(`hairpin${versionOf(subnet)}`, name, networkPart(subnet))),
    ];
  });
}

/** What the guard knows of a port of a bridge. `guarded` comes last: from then on the others are asked. */
export function portElements(port: FirewallPort): Element[] {
  const link = linkPart(port.link);
  const mac = macPart(port.mac);
  const of = (set: string, ...key: readonly Part[]): Element => ({ family: 'bridge', set, key });
  return [
    of('okmac', link, mac),
    ...port.ips.flatMap((ip) =>
      isIpv6(ip)
        ? [of('ok6', link, mac, addressPart(ip)), of('nd6', link, mac, numberPart(ip))]
        : [of('ok4', link, mac, addressPart(ip))],
    ),
    of('guarded', link),
  ];
}

/** Where published ports lead, and what may come to the containers themselves; each once. */
export function publishedElements(ports: readonly FirewallPublished[], directRouting = false): Element[] {
  const all = ports.flatMap((port) => ofPublished(port, directRouting));
  return [...new Map(all.map((element) => [identityOf(element), element])).values()];
}

function ofPublished(port: FirewallPublished, directRouting: boolean): Element[] {
  const version = versionOf(port.ip);
  const protocol = protocolPart(port.protocol);
  const target = addressPart(port.ip);
  const own = [target, protocol, portPart(port.port)];
  if (port.routed === true) return [{ family: 'inet', set: `routed${version}`, key: own }];
  const any = port.hostIp === (version === '6' ? '::' : '0.0.0.0');
  const service = [protocol, portPart(port.hostPort)];
  const key = any ? service : [addressPart(port.hostIp), ...service];
  const name = `${version}${any ? 'any' : ''}`;
  const led: Element[] = [
    { family: 'inet', set: `pub${name}`, key, value: [target, portPart(port.port)] },
    ...(port.judged === true
      ? (['inet', version === '6' ? 'ip6' : 'ip'] as const).map((family) => ({ family, set: `judged${name}`, key }))
      : []),
  ];
  return directRouting ? [...led, { family: 'inet', set: `direct${version}`, key: own }] : led;
}

/** What taking ports back takes out: several ports of the host may lead to one of a container. */
export function goneElements(
  gone: readonly FirewallPublished[],
  remaining: readonly FirewallPublished[],
  directRouting = false,
): Element[] {
  const shared = directRouting || gone.some(({ routed }) => routed === true);
  const kept = new Set(shared ? publishedElements(remaining, directRouting).map(identityOf) : []);
  return publishedElements(gone, directRouting).filter((element) => !kept.has(identityOf(element)));
}

export const closedElement = (link: string): Element => ({ family: 'bridge', set: 'closed', key: [linkPart(link)] });

export function linkedElements(links: readonly FirewallLinked[], family: 'inet' | 'bridge'): Element[] {
  return links.map(({ from, to, protocol, port }) => ({
    family,
    set: `linked${versionOf(to)}`,
    key: [addressPart(from), addressPart(to), protocolPart(protocol), portPart(port)],
  }));
}
