import { expect, test } from 'bun:test';
import type { ContainerSummary } from '#api/types/container.ts';
import type { NetworkInspect } from '#api/types/network.ts';
import { graphOf, svgOf, treeOf } from './graph-model.ts';

// as: of the list's answer only what the graph reads.
const network = (Name: string, Subnet: string, Internal = false) =>
  ({ Name, Id: Name, Driver: 'bridge', Internal, IPAM: { Config: [{ Subnet }] } }) as NetworkInspect;
const container = (name: string, on: Record<string, string>, Ports: object[] = [], State = 'running') =>
  ({
    Id: name,
    Names: [`/${name}`],
    State,
    Ports,
    NetworkSettings: {
      Networks: Object.fromEntries(
        Object.entries(on).map(([n, IPAddress]) => [n, { IPAddress, GlobalIPv6Address: '' }]),
      ),
    },
  }) as unknown as ContainerSummary;

const graph = graphOf(
  [network('db', '10.2.0.0/16', true), network('app', '10.1.0.0/16'), network('empty', '10.3.0.0/16')],
  [
    container('web', { app: '10.1.0.2', db: '10.2.0.2' }, [
      { IP: '0.0.0.0', PublicPort: 8080, PrivatePort: 80, Type: 'tcp' },
      { IP: '::', PublicPort: 8080, PrivatePort: 80, Type: 'tcp' },
      { PrivatePort: 81, Type: 'tcp' },
    ]),
    container('sql', { db: '10.2.0.3' }),
    container('<old>', { app: '' }, [], 'exited'),
  ],
);

test('a tree of networks', () => {
  expect(treeOf(graph)).toBe(`app  bridge 10.1.0.0/16
├─ <old>  (not running)
└─ web    10.1.0.2  0.0.0.0:8080→80/tcp  [::]:8080→80/tcp  also on db
db  bridge 10.2.0.0/16 internal
├─ sql  10.2.0.3
└─ web  10.2.0.2  0.0.0.0:8080→80/tcp  [::]:8080→80/tcp  also on app
empty  bridge 10.3.0.0/16
`);
});

test('a drawing: an edge for each connection, names are text and nothing else', () => {
  const svg = svgOf(graph);
  expect([...svg.matchAll(/class="edge"/g)].length).toBe(4);
  expect([...svg.matchAll(/<rect class="(network|container)/g)].length).toBe(6);
  expect(svg).toContain('&#60;old&#62;');
  expect(svg).not.toContain('<old>');
  expect(svg).toContain('>10.2.0.3<');
  expect(svgOf({ networks: [], containers: [] })).toContain('</svg>');
});
