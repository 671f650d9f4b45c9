/**
 * A plugin for tests that makes networks and gives addresses: Docker's legacy protocol over a unix socket where dockerd
 * looks for it. A network is a bridge, an endpoint a pair of links; it notes every call and can be told to fail.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';

const SOCKETS = '/run/docker/plugins';

interface Body {
  readonly NetworkID?: string;
  readonly EndpointID?: string;
  readonly PoolID?: string;
  readonly Pool?: string;
  readonly Address?: string;
  readonly Options?: Readonly<Record<string, unknown>>;
  readonly Interface?: Readonly<Record<string, string>>;
}

const ip = (...args: readonly string[]): void => {
  const done = Bun.spawnSync(['ip', ...args]);
  if (done.exitCode !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr.toString()}`);
};

export class NetworkPlugin implements Disposable {
  readonly name: string;
  readonly calls: { readonly method: string; readonly body: Body }[] = [];
  /** Methods that fail. */
  readonly failing = new Set<string>();
  /** Addresses that are given, of any pool. */
  readonly given = new Set<string>();
  readonly pools = new Set<string>();
  readonly #socket: string;
  readonly #mark: string;
  #server: ReturnType<typeof Bun.serve> | undefined;
  #next = 2;

  constructor(name: string) {
    this.name = name;
    this.#socket = path.join(SOCKETS, `${name}.sock`);
    this.#mark = String(process.pid % 10_000);
    this.start();
  }

  start(): void {
    fs.mkdirSync(SOCKETS, { recursive: true });
    fs.rmSync(this.#socket, { force: true });
    this.#server = Bun.serve({
      unix: this.#socket,
      fetch: async (request) => {
        const method = new URL(request.url, 'http://plugin').pathname.slice(1);
        const text = await request.text();
        const body = (text === '' ? {} : JSON.parse(text)) as Body;
        this.calls.push({ method, body });
        if (this.failing.has(method)) return Response.json({ Err: `${method} is out of order` }, { status: 500 });
        try {
          return Response.json(this.#work(method, body));
        } catch (error) {
          return Response.json({ Err: String(error) }, { status: 500 });
        }
      },
    });
  }

  bodies(method: string): Body[] {
    return this.calls.filter((call) => call.method === method).map(({ body }) => body);
  }

  #bridge = (network = ''): string => `np${this.#mark}${network.slice(0, 6)}`;
  #link = (end: string, endpoint = ''): string => `n${end}${this.#mark}${endpoint.slice(0, 6)}`;

  #work(method: string, body: Body): unknown {
    const { NetworkID: network, EndpointID: endpoint } = body;
    switch (method) {
      case 'Plugin.Activate':
        return { Implements: ['NetworkDriver', 'IpamDriver'] };
      case 'NetworkDriver.GetCapabilities':
        return { Scope: 'local', ConnectivityScope: 'local' };
      case 'NetworkDriver.CreateNetwork':
        ip('link', 'add', 'name', this.#bridge(network), 'type', 'bridge');
        ip('link', 'set', this.#bridge(network), 'up');
        return {};
      case 'NetworkDriver.DeleteNetwork':
        ip('link', 'del', this.#bridge(network));
        return {};
      case 'NetworkDriver.CreateEndpoint':
        return { Interface: body.Interface?.['MacAddress'] === '' ? { MacAddress: '02:11:22:33:44:55' } : {} };
      case 'NetworkDriver.Join': {
        const [outer, inner] = [this.#link('o', endpoint), this.#link('i', endpoint)];
        ip('link', 'add', 'name', outer, 'type', 'veth', 'peer', 'name', inner);
        ip('link', 'set', outer, 'master', this.#bridge(network), 'up');
        return {
          InterfaceName: { SrcName: inner, DstPrefix: 'eth' },
          Gateway: '10.216.0.1',
          StaticRoutes: [{ Destination: '203.0.113.0/24', RouteType: 0, NextHop: '10.216.0.9' }],
        };
      }
      case 'NetworkDriver.Leave':
        Bun.spawnSync(['ip', 'link', 'del', this.#link('o', endpoint)]);
        return {};
      case 'NetworkDriver.DeleteEndpoint':
      case 'NetworkDriver.ProgramExternalConnectivity':
        return {};
      case 'IpamDriver.GetCapabilities':
        return { RequiresMACAddress: true, RequiresRequestReplay: true };
      case 'IpamDriver.GetDefaultAddressSpaces':
        return { LocalDefaultAddressSpace: 'here', GlobalDefaultAddressSpace: 'there' };
      case 'IpamDriver.RequestPool': {
        const pool = body.Pool === '' || body.Pool === undefined ? '10.216.0.0/24' : body.Pool;
        this.pools.add(pool);
        return { PoolID: `here/${pool}`, Pool: pool, Data: {} };
      }
      case 'IpamDriver.ReleasePool':
        this.pools.delete((body.PoolID ?? '').replace('here/', ''));
        return {};
      case 'IpamDriver.RequestAddress':
        return { Address: this.#give(body) };
      case 'IpamDriver.ReleaseAddress':
        this.given.delete(body.Address ?? '');
        return {};
      default:
        return { Err: `what is ${method}?` };
    }
  }

  #give({ Address: wanted = '', PoolID: pool = '', Options: options }: Body): string {
    const [base = '', length = ''] = pool.replace('here/', '').split('/');
    const prefix = base.replace(/\.0$/, '');
    const isGateway = options?.['RequestAddressType'] === 'com.docker.network.gateway';
    const address = wanted !== '' ? wanted : isGateway ? `${prefix}.1` : `${prefix}.${this.#next++}`;
    this.given.add(address);
    return `${address}/${length}`;
  }

  /** As a crash: the socket file stays. */
  async die(): Promise<void> {
    await this.#server?.stop(true);
  }

  [Symbol.dispose](): void {
    void this.#server?.stop(true);
    fs.rmSync(this.#socket, { force: true });
  }
}
