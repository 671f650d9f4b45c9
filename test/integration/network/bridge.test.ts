/** The bridge driver with real links, rules and packets, in a network namespace of its own. */
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync, writeFileSync } from 'node:fs';
import { BridgeDriver } from '#networkdriver/bridge.ts';
import type { BridgeOptions } from '#networkdriver/bridge-options.ts';
import type { Endpoint } from '#networkdriver/driver.ts';
import { linkNameOf } from '#networkdriver/link-name.ts';
import { driverContract } from '#networkdriver/testing/contract.ts';
import { PlainDriver } from '#networkdriver/plain.ts';
import { setLogLevel } from '#pkg/log/log.ts';
import { interpose } from '#sys/call.ts';
import { NR } from '#sys/numbers.ts';
import { Launcher } from '#sys/zygote/launch.ts';
import { eventually } from '../../support/command.ts';
import { isInside, run, TestContainer } from './namespace.ts';

const NETWORK = 'a'.repeat(64);
const CONTAINER = 'c'.repeat(64);
const EIO = 5;
const OPTIONS: BridgeOptions = { networkId: NETWORK, bridge: 'berth0', given: false };

interface Joined extends AsyncDisposable {
  readonly container: TestContainer;
  readonly endpoint: Endpoint;
  readonly ip: string;
}

if (isInside(import.meta.path)) {
  setLogLevel('error');
  setDefaultTimeout(60_000); // an emulated machine is slow
  run('ip', 'link', 'set', 'lo', 'up');
  const launcher = new Launcher();

  const made = async (options: Partial<BridgeOptions> = {}): Promise<BridgeDriver & AsyncDisposable> => {
    const driver = new BridgeDriver({ ...OPTIONS, ...options });
    await driver.ensure();
    return Object.assign(driver, { [Symbol.asyncDispose]: () => driver.close() });
  };

  const joined = async (driver: BridgeDriver): Promise<Joined> => {
    const container = await TestContainer.start(launcher);
    const endpoint = await driver.allocate(CONTAINER);
    await driver.join(endpoint, container.gate);
    container.open();
    const end = async () => {
      container.kill();
      await driver.release(endpoint);
    };
    return { container, endpoint, ip: endpoint.address?.ip ?? '', [Symbol.asyncDispose]: end };
  };

  const PEER = { name: 'outside', host: '192.0.2.1', ip: '192.0.2.2' };

  /** Another machine on a network of the host, without a route to the bridge. */
  const outside = async (): Promise<TestContainer> => {
    const machine = await TestContainer.start(launcher);
    run('ip', 'link', 'add', PEER.name, 'type', 'veth', 'peer', 'eth0', 'netns', String(machine.gate.pid));
    run('ip', 'addr', 'add', `${PEER.host}/24`, 'dev', PEER.name);
    run('ip', 'link', 'set', PEER.name, 'up');
    machine.run('ip', 'addr', 'add', `${PEER.ip}/24`, 'dev', 'eth0');
    machine.run('ip', 'link', 'set', 'eth0', 'up');
    machine.open();
    return machine;
  };

  const clean = () => {
    Bun.spawnSync(['ip', 'link', 'del', 'berth0']);
    Bun.spawnSync(['ip', 'link', 'del', 'br-user']);
    Bun.spawnSync(['ip', 'link', 'del', PEER.name]);
    run('nft', 'flush', 'ruleset');
  };
  afterEach(clean);

  const ping = (from: TestContainer, to: string): boolean =>
    from.run('busybox', 'ping', '-c', '1', '-W', '1', to).code === 0;

  driverContract('bridge', {
    make: async () => {
      const driver = new BridgeDriver(OPTIONS);
      await driver.ensure();
      return driver;
    },
    gate: async () => {
      const container = await TestContainer.start(launcher);
      return { gate: container.gate, [Symbol.asyncDispose]: () => container[Symbol.asyncDispose]() };
    },
    traces: () => run('ip', '-br', 'link', 'show', 'type', 'veth').trim(),
  });
  for (const name of ['none', 'host'] as const) {
    driverContract(name, {
      make: async () => new PlainDriver(name, NETWORK),
      gate: async () => {
        const container = await TestContainer.start(launcher);
        return { gate: container.gate, [Symbol.asyncDispose]: () => container[Symbol.asyncDispose]() };
      },
      traces: () => '',
    });
  }

  describe('the bridge', () => {
    test('is made with the first free default pool, and found again', async () => {
      run('ip', 'link', 'add', 'other', 'type', 'bridge');
      run('ip', 'addr', 'add', '172.17.9.1/24', 'dev', 'other');
      run('ip', 'link', 'set', 'other', 'up');
      {
        await using driver = await made();
        expect(driver.facts()).toMatchObject({
          name: 'berth0',
          subnet: '172.18.0.0/16',
          gateway: '172.18.0.1',
          warnings: [],
        });
        await driver.ensure();
      }
      run('ip', 'link', 'del', 'other');
      await using again = await made();
      expect(again.facts().subnet).toBe('172.18.0.0/16');
      expect(readFileSync('/proc/sys/net/ipv6/conf/berth0/accept_ra', 'utf8')).toBe('0\n');
    });

    test('--bip gives and replaces its address', async () => {
      {
        await using driver = await made({ bip: '10.9.8.1/24' });
        expect(driver.facts()).toMatchObject({
          name: 'berth0',
          subnet: '10.9.8.0/24',
          gateway: '10.9.8.1',
          warnings: [],
        });
      }
      await using driver = await made({ bip: '10.9.7.5/24' });
      expect(driver.facts().gateway).toBe('10.9.7.5');
      expect(run('ip', '-4', '-o', 'addr', 'show', 'berth0').trim().split('\n').length).toBe(1);
      expect(() => new BridgeDriver({ ...OPTIONS, bip: '10.9.8.0/24' }).ensure()).toThrow("no host's address");
    });

    test('a given bridge keeps its address', async () => {
      run('ip', 'link', 'add', 'br-user', 'type', 'bridge');
      run('ip', 'addr', 'add', '10.1.2.3/24', 'dev', 'br-user');
      {
        await using driver = await made({ bridge: 'br-user', given: true });
        expect(driver.facts()).toMatchObject({
          name: 'br-user',
          subnet: '10.1.2.0/24',
          gateway: '10.1.2.3',
          warnings: [],
        });
      }
      const other = new BridgeDriver({ ...OPTIONS, bridge: 'br-user', given: true, bip: '10.1.3.1/24' });
      expect(() => other.ensure()).toThrow('has 10.1.2.3/24');
      const wrong = new BridgeDriver({ ...OPTIONS, bridge: 'lo', given: true });
      expect(() => wrong.ensure()).toThrow('Cannot use "lo" as bridge');
    });

    test('forwarding is switched on', async () => {
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '0');
      await using _ = await made();
      expect(readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8')).toBe('1\n');
    });
  });

  describe('packets', () => {
    test('a container has address, route and loopback, and reaches gateway and neighbour', async () => {
      await using driver = await made();
      await using a = await joined(driver);
      await using b = await joined(driver);
      expect([a.ip, b.ip]).toEqual(['172.17.0.2', '172.17.0.3']);
      expect(a.container.run('ip', '-br', 'addr').out).toMatch(
        /^lo +UNKNOWN +127.0.0.1\/8 ::1\/128 \neth0@if\d+ +(UP|UNKNOWN) +172.17.0.2\/16 \n$/,
      );
      expect(a.container.run('ip', 'route').out).toBe(
        'default via 172.17.0.1 dev eth0 \n172.17.0.0/16 dev eth0 proto kernel scope link src 172.17.0.2 \n',
      );
      for (const to of ['127.0.0.1', '172.17.0.1', b.ip]) expect([to, ping(a.container, to)]).toEqual([to, true]);
    });

    test('the outside is reached with the address of the host, and does not reach in', async () => {
      await using driver = await made();
      await using a = await joined(driver);
      await using machine = await outside();
      const server = Bun.spawn([
        ...['nsenter', `--net=/proc/${machine.gate.pid}/ns/net`, process.execPath, '-e'],
        `Bun.listen({ hostname: '0.0.0.0', port: 9000, socket: { open(s) { s.end(s.remoteAddress + '\\n'); }, data() {} } });
         console.log('listening');`,
      ]);
      const lines = server.stdout.pipeThrough(new TextDecoderStream()).getReader();
      await lines.read();
      const client = `const s = await Bun.connect({ hostname: '${PEER.ip}', port: 9000,
        socket: { data(_, d) { process.stdout.write(d); }, close() { process.exit(0); } } });`;
      expect(a.container.run(process.execPath, '-e', client).out).toBe(`${PEER.host}\n`);
      server.kill('SIGKILL');
      await server.exited;
      machine.run('ip', 'route', 'add', '172.17.0.0/16', 'via', PEER.host);
      expect(ping(machine, PEER.host)).toBe(true);
      expect(ping(machine, a.ip)).toBe(false);
    });

    test('forged sources are dropped', async () => {
      await using driver = await made();
      await using a = await joined(driver);
      await using b = await joined(driver);
      a.container.run('ip', 'addr', 'add', '172.17.0.99/16', 'dev', 'eth0');
      expect(a.container.run('busybox', 'ping', '-c', '1', '-W', '1', '-I', '172.17.0.99', b.ip).code).not.toBe(0);
      a.container.run('ip', 'addr', 'del', '172.17.0.99/16', 'dev', 'eth0');
      a.container.run('ip', 'neigh', 'flush', 'dev', 'eth0');
      expect(ping(a.container, b.ip)).toBe(true);
      a.container.run('ip', 'link', 'set', 'eth0', 'address', '02:42:ac:11:00:99');
      expect(ping(a.container, b.ip)).toBe(false);
    });

    test('an address of its own that a neighbour claims stays its own', async () => {
      await using driver = await made();
      await using a = await joined(driver);
      await using b = await joined(driver);
      // a answers ARP for b's address: the answers are dropped, so the host still finds b.
      a.container.run('ip', 'addr', 'add', `${b.ip}/32`, 'dev', 'eth0');
      run('ip', 'neigh', 'flush', 'dev', 'berth0');
      run('busybox', 'ping', '-c', '3', '-W', '5', b.ip);
      expect(run('ip', 'neigh', 'show', b.ip)).toContain(b.endpoint.address?.mac ?? 'no mac');
    });
  });

  describe('life and death', () => {
    test('a killed container takes its link along', async () => {
      await using driver = await made();
      const a = await joined(driver);
      const link = linkNameOf(a.endpoint.id, undefined);
      expect(run('ip', '-br', 'link')).toContain(link);
      await a[Symbol.asyncDispose]();
      for (let i = 0; i < 200 && run('ip', '-br', 'link').includes(link); i++) await Bun.sleep(10);
      expect(run('ip', '-br', 'link')).not.toContain(link);
      expect(run('nft', 'list', 'table', 'bridge', 'berth')).not.toContain(link);
    });

    test('restore keeps what is alive, guards it, and sweeps the rest of its own', async () => {
      const first = await made();
      const a = await joined(first);
      const b = await joined(first);
      run('ip', 'link', 'add', 'bt00ff00aaaaaa', 'type', 'veth', 'peer', 'x0');
      await first.close(); // the daemon is gone, the containers go on
      const second = new BridgeDriver(OPTIONS);
      await second.restore([a.endpoint]);
      const links = run('ip', '-br', 'link');
      expect(links).toContain(linkNameOf(a.endpoint.id, undefined));
      expect(links).not.toContain(linkNameOf(b.endpoint.id, undefined));
      expect(links).toContain('bt00ff00aaaaaa'); // another daemon's
      expect(run('nft', 'list', 'set', 'bridge', 'berth', 'ok4')).toContain(a.ip);
      expect(ping(a.container, '172.17.0.1')).toBe(true);
      const next = await second.allocate(CONTAINER);
      expect(next.address?.ip).not.toBe(a.ip);
      run('ip', 'link', 'del', 'bt00ff00aaaaaa');
      a.container.kill();
      b.container.kill();
      await second.close();
    });

    test('a flush of all rules by others is repaired', async () => {
      await using driver = await made();
      await using a = await joined(driver);
      const whole = run('nft', 'list', 'ruleset');
      await Bun.sleep(20); // the guardian listens
      for (const command of ['flush ruleset', 'flush table inet berth', 'delete table bridge berth']) {
        run('nft', command);
        for (let i = 0; i < 200 && run('nft', 'list', 'ruleset') !== whole; i++) await Bun.sleep(5);
        expect([command, run('nft', 'list', 'ruleset')]).toEqual([command, whole]);
      }
      expect(whole).toContain(a.ip);
    });

    test('whichever netlink request fails, nothing is left', async () => {
      const failing = async (at: number, work: () => Promise<unknown>): Promise<boolean> => {
        let count = 0;
        using _ = interpose((nr, _args, proceed) => (nr === NR.sendto && ++count === at ? -EIO : proceed()));
        return await work().then(
          () => false,
          () => true,
        );
      };
      let sends = 1;
      for (; ; sends++) {
        const driver = new BridgeDriver(OPTIONS);
        const failed = await failing(sends, () => driver.ensure());
        await driver.close();
        if (!failed) break;
        expect([sends, run('ip', '-br', 'link', 'show', 'type', 'bridge')]).toEqual([sends, '']);
      }
      expect(sends).toBeGreaterThan(5);
      await using driver = await made();
      for (let at = 1; ; at++) {
        await using container = await TestContainer.start(launcher);
        const endpoint = await driver.allocate(CONTAINER);
        const failed = await failing(at, () => driver.join(endpoint, container.gate));
        await driver.release(endpoint);
        if (!failed) break;
        expect(run('nft', 'list', 'set', 'bridge', 'berth', 'guarded')).not.toContain('elements');
      }
      for (let i = 0; i < 200 && run('ip', '-br', 'link', 'show', 'type', 'veth') !== ''; i++) await Bun.sleep(10);
      expect(run('ip', '-br', 'link', 'show', 'type', 'veth')).toBe('');
    });

    test('nothing of others is touched', async () => {
      run('nft', 'add', 'table', 'inet', 'others');
      run('nft', 'add chain inet others c { type filter hook forward priority 0; }');
      await using driver = await made({ suffix: '00ff00' });
      await using a = await joined(driver);
      expect(run('nft', 'list', 'tables')).toBe(
        'table inet others\ntable inet berth-00ff00\ntable bridge berth-00ff00\n',
      );
      expect(run('ip', '-br', 'link')).toContain(linkNameOf(a.endpoint.id, '00ff00'));
    });

    test('a forward chain of others that drops is opened at its place, or told', async () => {
      run('nft', 'add table ip filter');
      run('nft', 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }');
      run('nft', 'add chain ip filter DOCKER-USER; add rule ip filter FORWARD jump DOCKER-USER');
      run('nft', 'add table inet fw');
      await using machine = await outside();
      {
        await using driver = await made();
        await using a = await joined(driver);
        expect(driver.facts().warnings).toEqual([]);
        await eventually('the container reaches another machine', () => ping(a.container, PEER.ip));
        const rules = run('nft', 'list', 'chain', 'ip', 'filter', 'DOCKER-USER');
        await driver.ensure();
        expect(run('nft', 'list', 'chain', 'ip', 'filter', 'DOCKER-USER').split('\n').length).toBe(
          rules.split('\n').length,
        );
      }
      run('nft', 'add chain inet fw FORWARD { type filter hook forward priority 0; policy drop; }');
      await using driver = await made();
      expect(driver.facts().warnings).toEqual(['nftables chain "inet fw FORWARD" drops packets of bridge "berth0"']);
      expect(run('nft', 'list', 'chain', 'ip', 'filter', 'DOCKER-USER')).toContain('"berth: berth0"');
      await driver.remove();
      expect(run('nft', 'list', 'chain', 'ip', 'filter', 'DOCKER-USER')).not.toContain('berth0');
      machine.kill();
    });

    test('the network part of a start is quick', async () => {
      await using driver = await made();
      await using containers = new AsyncDisposableStack();
      const times: number[] = [];
      for (let i = 0; i < 60; i++) {
        const container = containers.use(await TestContainer.start(launcher));
        const started = performance.now();
        const endpoint = await driver.allocate(CONTAINER);
        await driver.join(endpoint, container.gate);
        times.push(performance.now() - started);
        container.open();
      }
      times.sort((x, y) => x - y);
      const [p50 = 0, p90 = 0] = [times[30], times[54]];
      if (process.env['BERTH_PRINT'] !== undefined) {
        console.error(`join p50 ${p50.toFixed(2)} p90 ${p90.toFixed(2)} ms`);
      }
      // The budget is 1.2 ms (p50, idle). A shared machine proves no time; what it costs in calls it does.
      const container = containers.use(await TestContainer.start(launcher));
      const endpoint = await driver.allocate(CONTAINER);
      const calls: number[] = [];
      {
        using _ = interpose((nr, _args, proceed) => {
          calls.push(nr);
          return proceed();
        });
        await driver.join(endpoint, container.gate);
      }
      // Guard, pair, and all of the inside: a send each. Their answers: three, one, and five or four without IPv6.
      expect(calls.filter((nr) => nr === NR.sendto).length).toBe(3);
      expect(calls.length).toBeLessThanOrEqual(14);
    });
  });
}
