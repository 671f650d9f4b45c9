/** Gateway modes, IPv6-only networks and options of bridges, with packets, in a network namespace of its own. */
import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { subnet6Of } from '#libcontainer/netlink/ip.ts';
import { BridgeDriver } from '#networkdriver/bridge.ts';
import { BridgeHost } from '#networkdriver/bridge-host.ts';
import type { BridgeOptions } from '#networkdriver/bridge-options.ts';
import type { Endpoint, PortRequest, PublishedPort } from '#networkdriver/driver.ts';
import { setLogLevel } from '#pkg/log/log.ts';
import { Launcher } from '#sys/zygote/launch.ts';
import { scriptInside } from '../../support/inside.ts';
import { isInside, run, TestContainer } from './namespace.ts';

const CONTAINER = 'c'.repeat(64);
const V6 = { subnet: subnet6Of('fd00:a::/64'), gateway: 'fd00:a::1' };
const port = (from: number): PortRequest => ({
  protocol: 'tcp',
  hostIp: '',
  hostPort: from,
  hostPortEnd: from,
  port: 80,
});

if (isInside(import.meta.path)) {
  setLogLevel('error');
  setDefaultTimeout(60_000);
  run('ip', 'link', 'set', 'lo', 'up');
  const launcher = new Launcher();
  afterEach(() => {
    for (const link of ['one', 'two', 'outside']) Bun.spawnSync(['ip', 'link', 'del', link]);
    run('nft', 'flush', 'ruleset');
  });

  interface Joined extends AsyncDisposable {
    readonly container: TestContainer;
    readonly endpoint: Endpoint;
    readonly ip: string;
    readonly ip6: string;
  }

  const network = async (
    stack: AsyncDisposableStack,
    options: Partial<BridgeOptions> & { readonly bridge: string },
  ): Promise<BridgeDriver> => {
    const driver = new BridgeDriver({ networkId: options.bridge.padEnd(64, '0'), given: false, ...options });
    await driver.ensure();
    stack.defer(async () => {
      await driver.remove();
      await driver.close();
    });
    return driver;
  };

  const joined = async (stack: AsyncDisposableStack, driver: BridgeDriver): Promise<Joined> => {
    const container = stack.use(await TestContainer.start(launcher));
    const endpoint = await driver.allocate(CONTAINER);
    await driver.join(endpoint, container.gate);
    container.open();
    const one = {
      container,
      endpoint,
      ip: endpoint.address?.ip ?? '',
      ip6: endpoint.address6?.ip ?? '',
      [Symbol.asyncDispose]: async () => {
        container.kill();
        await driver.release(endpoint);
      },
    };
    return stack.use(one);
  };

  /** Another machine, which sends everything to this host. */
  const outside = async (stack: AsyncDisposableStack): Promise<TestContainer> => {
    const machine = stack.use(await TestContainer.start(launcher));
    const withoutDad = ['sysctl', '-q', '-w', 'net.ipv6.conf.default.accept_dad=0'];
    run(...withoutDad);
    machine.run(...withoutDad);
    run('ip', 'link', 'add', 'outside', 'type', 'veth', 'peer', 'eth0', 'netns', String(machine.gate.pid));
    run('ip', 'addr', 'add', '192.0.2.1/24', 'dev', 'outside');
    run('ip', 'addr', 'add', 'fd00:ffff::1/64', 'dev', 'outside', 'nodad');
    run('ip', 'link', 'set', 'outside', 'up');
    for (const command of [
      'ip addr add 192.0.2.2/24 dev eth0',
      'ip addr add fd00:ffff::2/64 dev eth0 nodad',
      'ip link set eth0 up',
      'ip link set lo up',
      'ip route add default via 192.0.2.1',
      'ip -6 route add default via fd00:ffff::1',
    ]) {
      expect(machine.run(...command.split(' '))).toEqual({ code: 0, out: '' });
    }
    machine.open();
    return machine;
  };

  const publish = (
    stack: AsyncDisposableStack,
    driver: BridgeDriver,
    { endpoint }: Joined,
    ...hostPorts: readonly number[]
  ): readonly PublishedPort[] => {
    const published = driver.publish(endpoint, hostPorts.map(port));
    stack.defer(() => driver.unpublish(endpoint, published));
    return published;
  };

  /** Answers at ports of all its addresses. */
  const serve = async (stack: AsyncDisposableStack, on: Joined, ...ports: readonly number[]): Promise<void> => {
    const host = on.ip6 === '' ? '0.0.0.0' : '::';
    const script = `let left = ${ports.length};
      for (const port of ${JSON.stringify(ports)})
        require('net').createServer((s) => s.end('from ' + port)).listen(port, '${host}', () => { if (--left === 0) console.log('ready'); });`;
    stack.use(await scriptInside(on.container.gate.pid, script));
  };

  const reaches = (from: TestContainer, ip: string, portNumber: number): boolean =>
    from.run('busybox', 'nc', '-w', '1', ip, String(portNumber)).out.startsWith('from ');
  const pings = (from: TestContainer, ip: string): boolean =>
    from.run('busybox', 'ping', '-c', '1', '-W', '1', ip).code === 0;

  test('nat: published ports by the host, nothing by the container’s address; other networks neither', async () => {
    await using stack = new AsyncDisposableStack();
    const machine = await outside(stack);
    const driver = await network(stack, { bridge: 'one', bip: '10.1.0.1/24', ipv6: V6 });
    const web = await joined(stack, driver);
    await serve(stack, web, 80, 81);
    publish(stack, driver, web, 8080);
    expect([reaches(machine, '192.0.2.1', 8080), reaches(machine, 'fd00:ffff::1', 8080)]).toEqual([true, true]);
    expect([reaches(machine, web.ip, 80), reaches(machine, web.ip6, 80), pings(machine, web.ip)]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('nat-unprotected: every port by the container’s address, but not from other networks', async () => {
    await using stack = new AsyncDisposableStack();
    const machine = await outside(stack);
    const mode = { mode4: 'nat-unprotected', mode6: 'nat-unprotected' } as const;
    const host = new BridgeHost(undefined);
    stack.use(host);
    const driver = await network(stack, { bridge: 'one', bip: '10.1.0.1/24', ipv6: V6, host, ...mode });
    const other = await joined(stack, await network(stack, { bridge: 'two', bip: '10.2.0.1/24', host }));
    const web = await joined(stack, driver);
    await serve(stack, web, 80, 81);
    publish(stack, driver, web, 8080);
    expect([reaches(machine, '192.0.2.1', 8080), reaches(machine, web.ip, 80), reaches(machine, web.ip6, 81)]).toEqual([
      true,
      true,
      true,
    ]);
    expect(reaches(other.container, web.ip, 80)).toBe(false);
  });

  test('routed: published ports and pings by the container’s address, from other networks too; no translation', async () => {
    await using stack = new AsyncDisposableStack();
    const machine = await outside(stack);
    const host = new BridgeHost(undefined);
    stack.use(host);
    const routed = { mode4: 'routed', mode6: 'routed' } as const;
    const driver = await network(stack, { bridge: 'one', bip: '10.1.0.1/24', ipv6: V6, host, ...routed });
    const other = await joined(stack, await network(stack, { bridge: 'two', bip: '10.2.0.1/24', host }));
    const web = await joined(stack, driver);
    await serve(stack, web, 80, 81);
    const published = publish(stack, driver, web, 8080, 8081);
    expect(published).toEqual(
      ['0.0.0.0', '::'].map((hostIp) => ({ protocol: 'tcp' as const, hostIp, hostPort: 0, port: 80 })),
    );
    expect([reaches(machine, web.ip, 80), reaches(machine, web.ip6, 80), pings(machine, web.ip)]).toEqual([
      true,
      true,
      true,
    ]);
    expect([reaches(machine, web.ip, 81), reaches(machine, '192.0.2.1', 8080)]).toEqual([false, false]);
    expect(reaches(other.container, web.ip, 80)).toBe(true);
    // Its own address is what the world sees.
    run('nft', 'add table ip seen; add chain ip seen pre { type filter hook postrouting priority 300; }');
    run('nft', `add rule ip seen pre oifname "outside" ip saddr ${web.ip} counter`);
    expect(pings(web.container, '192.0.2.2')).toBe(true);
    expect(run('nft', 'list table ip seen')).toMatch(/counter packets [1-9]/);
    driver.unpublish(web.endpoint, published);
    expect(reaches(machine, web.ip, 80)).toBe(false);
  });

  test('isolated: the host has no address there, and containers reach each other', async () => {
    await using stack = new AsyncDisposableStack();
    const isolated = { mode4: 'isolated', mode6: 'isolated', internal: true } as const;
    const driver = await network(stack, { bridge: 'one', bip: '10.1.0.1/24', ipv6: V6, ...isolated });
    const [a, b] = [await joined(stack, driver), await joined(stack, driver)];
    expect(run('ip', '-br', 'addr', 'show', 'one')).not.toMatch(/10\.1\.0\.1|fd00/);
    expect([pings(a.container, b.ip), pings(a.container, b.ip6), pings(a.container, '10.1.0.1')]).toEqual([
      true,
      true,
      false,
    ]);
    expect(a.container.run('ip', 'route').out).not.toContain('default');
  });

  test('IPv6 alone: addresses, the way out and published ports', async () => {
    await using stack = new AsyncDisposableStack();
    const machine = await outside(stack);
    const driver = await network(stack, { bridge: 'one', ipv4: false, ipv6: V6 });
    const [web, other] = [await joined(stack, driver), await joined(stack, driver)];
    expect([web.ip, web.ip6]).toEqual(['', 'fd00:a::2']);
    expect(run('ip', '-4', '-br', 'addr', 'show', 'one')).toBe('');
    await serve(stack, web, 80);
    publish(stack, driver, web, 8080);
    expect([reaches(machine, 'fd00:ffff::1', 8080), pings(other.container, web.ip6)]).toEqual([true, true]);
    expect(pings(web.container, 'fd00:ffff::2')).toBe(true);
    expect(web.container.run('ip', '-4', 'addr', 'show', 'eth0').out).toBe('');
  });

  test('icc off: no container reaches another, whether or not packets of bridges pass the rules', async () => {
    for (const value of ['1', '0']) {
      for (const family of ['iptables', 'ip6tables']) {
        Bun.spawnSync(['sysctl', '-q', '-w', `net.bridge.bridge-nf-call-${family}=${value}`]);
      }
      await using stack = new AsyncDisposableStack();
      const host = stack.use(new BridgeHost(undefined));
      const options = { bridge: 'one', bip: '10.1.0.1/24', ipv6: V6, interContainer: false, host };
      const driver = await network(stack, options);
      const [a, b] = [await joined(stack, driver), await joined(stack, driver)];
      expect([value, pings(a.container, b.ip), pings(a.container, b.ip6)]).toEqual([value, false, false]);
      // The host and what it publishes are in reach.
      await serve(stack, b, 80, 81);
      const [published] = publish(stack, driver, b, 0);
      // But what is linked, on the ports that are, and in this direction.
      const linked = [
        { from: a.ip, to: b.ip, protocol: 'tcp', port: 80 },
        { from: a.ip6, to: b.ip6, protocol: 'tcp', port: 80 },
      ] as const;
      host.firewall.putLinked(linked);
      const seen = [b.ip, b.ip6].flatMap((ip) => [80, 81].map((at) => reaches(a.container, ip, at)));
      expect([value, ...seen]).toEqual([value, true, false, true, false]);
      host.firewall.putLinked([]);
      expect([value, reaches(a.container, b.ip, 80)]).toEqual([value, false]);
      expect([pings(a.container, '10.1.0.1'), reaches(a.container, '10.1.0.1', published?.hostPort ?? 0)]).toEqual([
        true,
        true,
      ]);
    }
  });

  test('links that are trusted, a mark, direct routing of all, and an address of the host for what leaves', async () => {
    await using stack = new AsyncDisposableStack();
    const machine = await outside(stack);
    run('ip', 'addr', 'add', '192.0.2.7/24', 'dev', 'outside');
    const host = new BridgeHost(undefined, [], { directRouting: true, acceptMark: '0x10/0xf0' });
    stack.use(host);
    const one = await network(stack, { bridge: 'one', bip: '10.1.0.1/24', host, sourceAddresses: ['192.0.2.7'] });
    const two = await network(stack, { bridge: 'two', bip: '10.2.0.1/24', host, trusted: ['outside'] });
    const [web, trusted] = [await joined(stack, one), await joined(stack, two)];
    await Promise.all([serve(stack, web, 80, 81), serve(stack, trusted, 81)]);
    const published = publish(stack, one, web, 8080, 8081);
    expect([reaches(machine, web.ip, 80), reaches(machine, web.ip, 81), reaches(machine, trusted.ip, 81)]).toEqual([
      true,
      false,
      true,
    ]);
    one.unpublish(web.endpoint, published.slice(0, 1));
    expect(reaches(machine, web.ip, 80)).toBe(true);
    one.unpublish(web.endpoint, published.slice(1));
    expect(reaches(machine, web.ip, 80)).toBe(false);
    run('nft', 'add table ip marks; add chain ip marks pre { type filter hook prerouting priority -150; }');
    run('nft', 'add rule ip marks pre iifname "outside" meta mark set 0x13');
    expect(reaches(machine, web.ip, 81)).toBe(true);
    run('nft', 'add table ip seen; add chain ip seen post { type filter hook postrouting priority 300; }');
    machine.run('nft', 'add table ip seen; add chain ip seen in { type filter hook input priority 0; }');
    machine.run('nft', 'add rule ip seen in ip saddr 192.0.2.7 counter');
    expect(pings(web.container, '192.0.2.2')).toBe(true);
    expect(machine.run('nft', 'list table ip seen').out).toMatch(/192\.0\.2\.7 counter packets [1-9]/);
  });
}
