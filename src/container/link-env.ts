/** What a container is told of another one that it is linked to (`--link`), as Docker tells it: variables. Pure. */
import type { ContainerConfig } from '#api/types/container.ts';

export interface LinkedContainer {
  /** The alias; letters become capitals in names of variables. */
  readonly alias: string;
  /** '/web/db' */
  readonly name: string;
  readonly ip: string;
  readonly config: Pick<ContainerConfig, 'Env' | 'ExposedPorts'>;
}

interface Port {
  readonly number: number;
  readonly protocol: string;
}

/** Variables of every container's own: they say nothing of the other. */
const OWN: ReadonlySet<string> = new Set(['HOME', 'PATH']);
/** Fewer than this in a row are told one by one only. */
const RANGE_LEAST = 3;

export function linkEnv({ alias, name, ip, config }: LinkedContainer): string[] {
  const prefix = alias.toUpperCase().replaceAll('-', '_');
  const ports = Object.keys(config.ExposedPorts ?? {})
    .map(portOf)
    .sort((a, b) => a.number - b.number || Number(b.protocol === 'tcp') - Number(a.protocol === 'tcp'));
  const url = ({ number, protocol }: Port): string => `${protocol}://${ip}:${number}`;
  const nameOf = ({ number, protocol }: Port): string => `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  const [lowest] = ports;
  return [
    ...(lowest === undefined ? [] : [`${prefix}_PORT=${url(lowest)}`]),
    ...rangesOf(ports).flatMap(([start, end]) => [
      `${nameOf(start)}_START=${url(start)}`,
      `${nameOf(start)}_ADDR=${ip}`,
      `${nameOf(start)}_PROTO=${start.protocol}`,
      `${nameOf(start)}_PORT_START=${start.number}`,
      `${nameOf(start)}_END=${url(end)}`,
      `${nameOf(start)}_PORT_END=${end.number}`,
    ]),
    ...ports.flatMap((port) => [
      `${nameOf(port)}=${url(port)}`,
      `${nameOf(port)}_ADDR=${ip}`,
      `${nameOf(port)}_PORT=${port.number}`,
      `${nameOf(port)}_PROTO=${port.protocol}`,
    ]),
    `${prefix}_NAME=${name}`,
    ...(config.Env ?? [])
      .filter((entry) => entry.includes('=') && !OWN.has(entry.slice(0, entry.indexOf('='))))
      .map((entry) => `${prefix}_ENV_${entry}`),
  ];
}

function portOf(spec: string): Port {
  const [number = '', protocol = 'tcp'] = spec.split('/');
  return { number: Number(number), protocol };
}

function rangesOf(ports: readonly Port[]): [start: Port, end: Port][] {
  const ranges: [Port, Port][] = [];
  for (let at = 0; at < ports.length; ) {
    let end = at;
    while (ports[end + 1] !== undefined && (ports[end + 1]?.number ?? 0) <= (ports[end]?.number ?? 0) + 1) end++;
    const [first, last] = [ports[at], ports[end]];
    if (end - at + 1 >= RANGE_LEAST && first !== undefined && last !== undefined) ranges.push([first, last]);
    at = end + 1;
  }
  return ranges;
}
