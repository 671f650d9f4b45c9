/** Networks and who is on them, from what the API lists, and both ways of showing it: a tree, and a drawing (SVG). Pure. */
import type { ContainerSummary } from '#api/types/container.ts';
import type { NetworkInspect } from '#api/types/network.ts';

export interface GraphContainer {
  readonly id: string;
  readonly name: string;
  readonly running: boolean;
  /** '0.0.0.0:8080→80/tcp' */
  readonly ports: readonly string[];
  /** By the name of the network. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
}

export interface GraphNetwork {
  readonly name: string;
  /** 'bridge 172.18.0.0/16' */
  readonly facts: string;
  readonly internal: boolean;
}

export interface Graph {
  readonly networks: readonly GraphNetwork[];
  readonly containers: readonly GraphContainer[];
}

const byName = <T extends { readonly name: string }>(a: T, b: T): number => (a.name < b.name ? -1 : 1);

export function graphOf(networks: readonly NetworkInspect[], containers: readonly ContainerSummary[]): Graph {
  const all = containers.map((one) => ({
    id: one.Id,
    name: (one.Names[0] ?? one.Id).replace(/^\//, ''),
    running: ['running', 'paused', 'restarting'].includes(one.State),
    ports: portsOf(one),
    addresses: new Map(
      Object.entries(one.NetworkSettings.Networks).map(([name, { IPAddress, GlobalIPv6Address }]) => [
        name,
        [IPAddress, GlobalIPv6Address].filter((ip) => ip !== ''),
      ]),
    ),
  }));
  return {
    networks: networks
      .map(({ Name, Driver, Internal, IPAM }) => ({
        name: Name,
        facts: [Driver, ...(IPAM.Config ?? []).map(({ Subnet }) => Subnet ?? ''), ...(Internal ? ['internal'] : [])]
          .filter((fact) => fact !== '')
          .join(' '),
        internal: Internal,
      }))
      .sort(byName),
    containers: all.sort(byName),
  };
}

function portsOf({ Ports: ports }: ContainerSummary): string[] {
  return ports
    .filter(({ PublicPort }) => PublicPort !== undefined)
    .map(({ IP = '', PublicPort, PrivatePort, Type }) => {
      const ip = IP.includes(':') ? `[${IP}]` : IP;
      return `${ip}:${PublicPort}→${PrivatePort}/${Type}`;
    })
    .sort();
}

const membersOf = ({ containers }: Graph, network: string): readonly GraphContainer[] =>
  containers.filter(({ addresses }) => addresses.has(network));

/** One paragraph a network. A container's ports stand where they lead out: at its first network that is not internal. */
export function treeOf(graph: Graph): string {
  const lines: string[] = [];
  for (const { name, facts } of graph.networks) {
    lines.push(`${name}  ${facts}`);
    const members = membersOf(graph, name);
    const width = Math.max(0, ...members.map((one) => one.name.length));
    for (const [i, one] of members.entries()) {
      const addresses = one.addresses.get(name) ?? [];
      const others = [...one.addresses.keys()].filter((other) => other !== name);
      const facts = [
        ...(one.running ? addresses : ['(not running)']),
        ...one.ports,
        ...(others.length === 0 ? [] : [`also on ${others.sort().join(', ')}`]),
      ];
      lines.push(
        `${i === members.length - 1 ? '└─' : '├─'} ${`${one.name.padEnd(width)}  ${facts.join('  ')}`.trimEnd()}`,
      );
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

const ROW = 30;
const GAP = 14;
const TOP = 20;
const COLUMN = { networks: 20, containers: 420, ports: 680, width: 960 } as const;
const BOX = { network: 250, container: 230 } as const;
const LINE = 20;

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => `&#${c.codePointAt(0)};`).replace(/[^\t\n\u0020-\ufffd]/g, '');

interface Box {
  readonly y: number;
  readonly height: number;
}

/** Networks on the left, containers on the right, a line with its addresses for each connection. */
export function svgOf(graph: Graph): string {
  const connected = graph.containers.filter(({ addresses }) => graph.networks.some(({ name }) => addresses.has(name)));
  const networks = stacked(graph.networks.map(() => 1));
  const containers = stacked(connected.map(({ ports }) => Math.max(1, ports.length)));
  const height = Math.max(...[...networks, ...containers].map(({ y, height: h }) => y + h), TOP) + TOP;
  const middle = ({ y, height: h }: Box): number => y + h / 2;
  const parts: string[] = [];
  for (const [i, { name, facts, internal }] of graph.networks.entries()) {
    const box = networks[i] ?? { y: 0, height: 0 };
    for (const [j, one] of connected.entries()) {
      const addresses = one.addresses.get(name);
      const other = containers[j];
      if (addresses === undefined || other === undefined) continue;
      const [from, to] = [middle(box), middle(other)];
      const [x1, x2] = [COLUMN.networks + BOX.network, COLUMN.containers];
      parts.push(`<path class="edge" d="M${x1} ${from} C${x1 + 80} ${from} ${x2 - 80} ${to} ${x2} ${to}"/>`);
      const label = one.running ? addresses.join(' ') : '';
      parts.push(
        `<text class="small" x="${x2 - 6}" y="${to - 6 - 12 * placeOf(one, name)}" text-anchor="end">${escaped(label)}</text>`,
      );
    }
    parts.push(
      `<rect class="${internal ? 'network internal' : 'network'}" x="${COLUMN.networks}" y="${box.y}" width="${BOX.network}" height="${box.height}" rx="6"/>`,
      `<text x="${COLUMN.networks + 10}" y="${box.y + 14}">${escaped(name)}</text>`,
      `<text class="small" x="${COLUMN.networks + 10}" y="${box.y + 26}">${escaped(facts)}</text>`,
    );
  }
  for (const [i, { name, running, ports }] of connected.entries()) {
    const box = containers[i] ?? { y: 0, height: 0 };
    parts.push(
      `<rect class="${running ? 'container' : 'container stopped'}" x="${COLUMN.containers}" y="${box.y}" width="${BOX.container}" height="${box.height}" rx="3"/>`,
      `<text x="${COLUMN.containers + 10}" y="${middle(box) + 5}">${escaped(name)}</text>`,
      ...ports.map(
        (port, j) => `<text class="small" x="${COLUMN.ports}" y="${box.y + 18 + j * LINE}">${escaped(port)}</text>`,
      ),
    );
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${COLUMN.width}" height="${height}" viewBox="0 0 ${COLUMN.width} ${height}">
<style>
text { font: 13px sans-serif; fill: #222 } .small { font-size: 11px; fill: #555 }
rect { stroke: #345; fill: #fff } .network { fill: #dfeaf7 } .internal { fill: #f7e9d7 } .stopped { stroke-dasharray: 4 3 }
.edge { fill: none; stroke: #89a; stroke-width: 1.5 }
</style>
<rect x="0" y="0" width="100%" height="100%" style="stroke: none"/>
${parts.join('\n')}
</svg>
`;
}

const placeOf = ({ addresses }: GraphContainer, network: string): number => [...addresses.keys()].indexOf(network);

/** Boxes one below the other, each of as many lines. */
function stacked(lines: readonly number[]): Box[] {
  let y = TOP;
  return lines.map((count) => {
    const box = { y, height: ROW + LINE * (count - 1) };
    y += box.height + GAP;
    return box;
  });
}
