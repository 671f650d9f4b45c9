/** The macvlan driver with real links, in a network namespace of its own; ipvlan where the kernel has it. */
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { subnetOf } from '#libcontainer/netlink/ip.ts';
import { LocalAddresses } from '#networkdriver/addresses.ts';
import { DirectDriver, type DirectNetwork } from '#networkdriver/direct/direct.ts';
import { driverContract } from '#networkdriver/testing/contract.ts';
import { setLogLevel } from '#pkg/log/log.ts';
import { interpose } from '#sys/call.ts';
import { NR } from '#sys/numbers.ts';
import { Launcher } from '#sys/zygote/launch.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { isInside, run, TestContainer } from './namespace.ts';

const IMG = 'berth.test/busybox:1';

const NETWORK = 'a'.repeat(64);
const CONTAINER = 'c'.repeat(64);
const EIO = 5;
const OWN = `dm-${NETWORK.slice(0, 11)}`;

if (isInside(import.meta.path)) {
  setLogLevel('error');
  setDefaultTimeout(60_000);
  run('ip', 'link', 'set', 'lo', 'up');
  const launcher = new Launcher();
  afterEach(() => {
    for (const link of ['uplink', OWN, 'dt-aaaaaaaaaaa']) Bun.spawnSync(['ip', 'link', 'del', link]);
  });

  const uplink = (): void => {
    Bun.spawnSync(['ip', 'link', 'add', 'uplink', 'up', 'type', 'veth', 'peer', 'name', 'wire']);
    Bun.spawnSync(['ip', 'link', 'set', 'wire', 'up']);
  };
  const driverOf = (options: Partial<DirectNetwork> = {}): DirectDriver =>
    new DirectDriver({
      link: { kind: 'macvlan', mode: 'bridge' },
      parent: 'uplink',
      mtu: undefined,
      networkId: NETWORK,
      addresses: new LocalAddresses([{ subnet: subnetOf('10.5.0.0/24'), reserved: ['10.5.0.1'] }], []),
      gateways: [{ subnet: '10.5.0.0/24', gateway: '10.5.0.1' }],
      internal: false,
      owner: 'berth-test',
      otherParents: () => [],
      ...options,
    });
  /** Their names: when a link notices that its other end is up is the kernel's affair. */
  const links = (): string =>
    run('ip', '-br', 'link')
      .split('\n')
      .map((line) => line.split(/[ @]/)[0] ?? '')
      .filter((name) => name !== 'lo')
      .join('\n');

  driverContract('macvlan', {
    make: async () => {
      uplink();
      const driver = driverOf();
      await driver.ensure();
      return driver;
    },
    gate: async () => {
      const container = await TestContainer.start(launcher);
      return { gate: container.gate, [Symbol.asyncDispose]: () => container[Symbol.asyncDispose]() };
    },
    traces: links,
  });

  describe('links', () => {
    test('modes, size and address are what was asked for, also when the last one with it has just ended', async () => {
      uplink();
      for (const mode of ['private', 'vepa', 'bridge'] as const) {
        const driver = driverOf({ link: { kind: 'macvlan', mode }, mtu: 1400 });
        await driver.ensure();
        await using container = await TestContainer.start(launcher);
        const endpoint = await driver.allocate(CONTAINER, { mac: '02:00:00:00:00:07' });
        await driver.join(endpoint, container.gate);
        const { out } = container.run('ip', '-d', 'link', 'show', 'eth0');
        expect(out).toContain(`macvlan mode ${mode}`);
        expect(out).toContain('mtu 1400');
        expect(out).toContain('link/ether 02:00:00:00:00:07');
        await driver.release(endpoint);
        await driver.close();
      }
    });

    test('leave takes it out of a namespace that lives on, twice without harm', async () => {
      uplink();
      const driver = driverOf();
      await driver.ensure();
      await using container = await TestContainer.start(launcher);
      const endpoint = await driver.allocate(CONTAINER);
      await driver.join(endpoint, container.gate);
      await driver.leave(endpoint, container.gate);
      await driver.leave(endpoint, container.gate);
      expect(container.run('ip', '-br', 'link').out).not.toContain('eth0');
      await driver.release(endpoint);
      await driver.close();
    });

    test('a parent of our own goes with the last network on it; one of the user stays', async () => {
      const driver = driverOf({ parent: undefined });
      await driver.ensure();
      await driver.ensure();
      expect(links()).toContain(OWN);
      await driver.remove();
      expect(links()).toBe('');
      uplink();
      const of = driverOf();
      await of.ensure();
      await of.remove();
      expect(links()).toContain('uplink');
      await driver.close();
      await of.close();
    });

    test('what a crash has left unfinished is swept', async () => {
      run('ip', 'link', 'add', 'name', 'dt-aaaaaaaaaaa', 'type', 'bridge');
      const driver = driverOf({ parent: undefined });
      await driver.ensure();
      expect(links()).not.toContain('dt-');
      await driver.remove();
      await driver.close();
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
      const driver = driverOf({ parent: undefined });
      let sends = 1;
      for (; await failing(sends, () => driver.ensure()); sends++) {
        // A failure may leave the request's own link under the name that the next try sweeps.
        expect([sends, links().includes(OWN)]).toEqual([sends, false]);
      }
      expect(sends).toBeGreaterThan(3);
      for (let at = 1; ; at++) {
        await using container = await TestContainer.start(launcher);
        const endpoint = await driver.allocate(CONTAINER);
        const failed = await failing(at, () => driver.join(endpoint, container.gate));
        await driver.leave(endpoint, container.gate);
        await driver.release(endpoint);
        expect(container.run('ip', '-br', 'link').out).not.toContain('eth0');
        if (!failed) break;
      }
      await driver.remove();
      expect(links()).toBe('');
      await driver.close();
    });

    test('ipvlan: what the kernel makes of it, or that it has none', async () => {
      uplink();
      const layer3 = { link: { kind: 'ipvlan', mode: 'l3', flag: 'private' }, gateway4: '10.5.0.1' } as const;
      const driver = driverOf(layer3);
      const refused = await driver.ensure().then(
        () => '',
        (error: unknown) => String(error),
      );
      if (refused !== '') expect(refused).toContain('this kernel has no ipvlan links (CONFIG_IPVLAN)');
      else {
        await using container = await TestContainer.start(launcher);
        const endpoint = await driver.allocate(CONTAINER);
        expect(endpoint.address?.gateway).toBe('');
        await driver.join(endpoint, container.gate);
        expect(container.run('ip', '-d', 'link', 'show', 'eth0').out).toContain('ipvlan mode l3 private');
        expect(container.run('ip', 'route').out).toContain('default dev eth0');
        await driver.release(endpoint);
      }
      const mac = await driver.allocate(CONTAINER, { mac: '02:00:00:00:00:07' }).then(
        () => '',
        (error: unknown) => String(error),
      );
      expect(mac).toContain('custom mac address');
      await driver.close();
    });
  });

  test('several subnets: the first is used up first, an address of another has its gateway, over a kill -9', async () => {
    await using d = await TestDaemon.start();
    const pools = ['10.6.1.0/30', '10.6.2.0/24', '10.6.3.0/24'].flatMap((subnet) => ['--subnet', subnet]);
    const gateways = ['--gateway', '10.6.2.9', '--ip-range', '10.6.3.128/25'];
    const create = ['network', 'create', '-d', 'macvlan', ...pools, ...gateways, 'lan'];
    // The docker CLI sends them in any order.
    await d.must(create);
    await d.must(['network', 'rm', 'lan']);
    expect((await d.berth(create)).stderr).toBe('');
    const config = '{{range .IPAM.Config}}{{.Subnet}} {{.IPRange}} {{.Gateway}};{{end}}';
    expect(await d.must(['network', 'inspect', '-f', config, 'lan'])).toBe(
      '10.6.1.0/30  10.6.1.1;10.6.2.0/24  10.6.2.9;10.6.3.0/24 10.6.3.128/25 10.6.3.128;',
    );
    const of = async (name: string, ...flags: string[]) => {
      await d.must(['run', '-d', '--name', name, '--network', 'lan', ...flags, IMG, 'sleep', '1000']);
      const { stdout } = await d.docker(['exec', name, 'sh', '-c', 'ip -4 -o addr show eth0; ip route']);
      return [/inet (\S+)/.exec(stdout)?.[1], /default via (\S+)/.exec(stdout)?.[1]];
    };
    expect(await of('ca')).toEqual(['10.6.1.2/30', '10.6.1.1']);
    expect(await of('cb')).toEqual(['10.6.2.1/24', '10.6.2.9']);
    expect(await of('cc', '--ip', '10.6.3.7')).toEqual(['10.6.3.7/24', '10.6.3.128']);
    const shown = '{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}}{{end}}';
    expect(await d.must(['inspect', '-f', shown, 'cc'])).toBe('10.6.3.7/24 10.6.3.128');
    await d.restart();
    expect(await of('ce')).toEqual(['10.6.2.2/24', '10.6.2.9']);
    const taken = await d.docker(['run', '--rm', '--network', 'lan', '--ip', '10.6.3.7', IMG, 'true']);
    expect(taken.stderr).toContain('Address already in use');
    await d.must(['rm', '-f', 'ca']);
    expect(await of('cf')).toEqual(['10.6.1.2/30', '10.6.1.1']);
    const beside = (...args: string[]) => d.docker(['network', 'create', ...args]);
    const overlapping = await beside('-d', 'macvlan', '--subnet', '10.6.3.0/25', 'x');
    expect(overlapping.stderr).toContain('Pool overlaps with other one on this address space');
    const bridged = await beside('--subnet', '10.7.1.0/24', '--subnet', '10.7.2.0/24', 'x');
    expect(bridged.stderr).toContain("bridge driver doesn't support multiple subnets");
  });
}
