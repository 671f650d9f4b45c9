/**
 * Beside the rules of ufw, dockerd and firewalld, as they write them, in a network namespace of its own: containers reach
 * the world and are reached, whoever comes first, and nothing of ours stays behind.
 */
import { afterEach, expect, setDefaultTimeout, test } from 'bun:test';
import { spawnSync } from 'node:child_process';
import { subnet6Of } from '#libcontainer/netlink/ip.ts';
import { BridgeDriver } from '#networkdriver/bridge.ts';
import { BridgeHost } from '#networkdriver/bridge-host.ts';
import { setLogLevel } from '#pkg/log/log.ts';
import { Launcher } from '#sys/zygote/launch.ts';
import { eventually } from '../../support/command.ts';
import { isInside, run, TestContainer } from './namespace.ts';

/** What `ufw enable` leaves in the forward chain: policy drop, answers pass, then the chain of `ufw route`. */
const ufw = (six: boolean): string => {
  const [name, error] = six ? ['ufw6', 'icmpv6'] : ['ufw', 'icmp'];
  return `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:${name}-before-forward - [0:0]
:${name}-user-forward - [0:0]
:${name}-before-input - [0:0]
-A INPUT -j ${name}-before-input
-A FORWARD -j ${name}-before-forward
-A ${name}-before-input -i lo -j ACCEPT
-A ${name}-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ${name}-before-input -p ${error} -j ACCEPT
-A ${name}-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ${name}-before-forward -j ${name}-user-forward
COMMIT
`;
};

if (isInside(import.meta.path)) {
  setLogLevel('error');
  setDefaultTimeout(60_000);
  run('ip', 'link', 'set', 'lo', 'up');
  run('sysctl', '-q', '-w', 'net.ipv6.conf.default.accept_dad=0');
  const launcher = new Launcher();
  afterEach(() => {
    for (const link of ['berth0', 'outside']) Bun.spawnSync(['ip', 'link', 'del', link]);
    run('nft', 'flush', 'ruleset');
  });

  const restore = (program: string, text: string): void => {
    const done = spawnSync(program, ['-n'], { input: text });
    if (done.status !== 0) throw new Error(`${program}: ${done.stderr.toString()}`);
  };
  const enableUfw = (): void => {
    restore('iptables-nft-restore', ufw(false));
    restore('ip6tables-nft-restore', ufw(true));
  };

  interface Setting extends AsyncDisposable {
    readonly driver: BridgeDriver;
    /** The container reaches another machine. */
    readonly ping: (ip: string) => boolean;
  }

  const setting = async (): Promise<Setting> => {
    await using stack = new AsyncDisposableStack();
    const machine = stack.use(await TestContainer.start(launcher));
    machine.run('sysctl', '-q', '-w', 'net.ipv6.conf.default.accept_dad=0');
    run('ip', 'link', 'add', 'outside', 'type', 'veth', 'peer', 'eth0', 'netns', String(machine.gate.pid));
    for (const [of, four, six] of [
      [run, '192.0.2.1/24', 'fd00:ffff::1/64'],
      [(...words: string[]) => machine.run(...words), '192.0.2.2/24', 'fd00:ffff::2/64'],
    ] as const) {
      const link = of === run ? 'outside' : 'eth0';
      of('ip', 'addr', 'add', four, 'dev', link);
      of('ip', 'addr', 'add', six, 'dev', link, 'nodad');
      of('ip', 'link', 'set', link, 'up');
    }
    machine.open();
    const host = stack.use(new BridgeHost(undefined));
    const driver = new BridgeDriver({
      host,
      networkId: 'a'.repeat(64),
      bridge: 'berth0',
      given: false,
      bip: '10.1.0.1/24',
      ipv6: { subnet: subnet6Of('fd00:a::/64'), gateway: 'fd00:a::1' },
    });
    await driver.ensure();
    stack.defer(() => driver.close());
    const container = stack.use(await TestContainer.start(launcher));
    const endpoint = await driver.allocate('c'.repeat(64));
    await driver.join(endpoint, container.gate);
    container.open();
    stack.defer(async () => {
      container.kill();
      await driver.release(endpoint);
    });
    const ping = (ip: string): boolean => container.run('busybox', 'ping', '-c', '1', '-W', '1', ip).code === 0;
    const kept = stack.move();
    return {
      driver,
      ping,
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  };

  const passes = async ({ ping }: Setting): Promise<void> => {
    for (const ip of ['192.0.2.2', 'fd00:ffff::2']) await eventually(`the container reaches ${ip}`, () => ping(ip));
  };
  const ruleset = (): string => run('nft', 'list', 'ruleset');

  test('ufw first: our bridge stands where `ufw route` puts its rules, and leaves with a clean end', async () => {
    enableUfw();
    {
      await using one = await setting();
      await passes(one);
      expect(one.driver.facts().warnings).toEqual([]);
      expect(run('nft', 'list chain ip filter ufw-user-forward').match(/"berth: berth0"/g)).toHaveLength(2);
      expect(run('nft', 'list chain ip6 filter ufw6-user-forward').match(/"berth: berth0"/g)).toHaveLength(2);
    }
    expect(ruleset()).not.toContain('"berth: berth0"');
  });

  test('ufw and dockerd that come later, a reload of ufw, and all rules flushed', async () => {
    await using one = await setting();
    await passes(one);
    enableUfw();
    await passes(one);
    // `ufw reload` empties its chains.
    run('iptables-nft', '-F', 'ufw-user-forward');
    run('ip6tables-nft', '-F', 'ufw6-user-forward');
    await passes(one);
    run('nft', 'flush', 'ruleset');
    await passes(one);
    for (const program of ['iptables-nft', 'ip6tables-nft']) {
      for (const line of [
        '-N DOCKER-USER',
        '-A DOCKER-USER -j RETURN',
        '-P FORWARD DROP',
        '-I FORWARD -j DOCKER-USER',
      ]) {
        run(program, ...line.split(' '));
      }
    }
    await passes(one);
    expect(one.driver.facts().warnings).toEqual([]);
    expect(run('nft', 'list chain ip filter DOCKER-USER')).toContain('"berth: berth0"');
  });

  test('the accept stays while a container needs it: it goes on without a daemon', async () => {
    enableUfw();
    await using one = await setting();
    await one.driver.close();
    expect(run('nft', 'list chain ip filter ufw-user-forward')).toContain('"berth: berth0"');
    await passes(one);
    await one.driver.ensure();
  });

  test('firewalld: what it refuses is told until the bridge is in a zone', async () => {
    run('nft', 'add table inet firewalld');
    run(
      'nft',
      'add chain inet firewalld filter_FORWARD { type filter hook forward priority filter + 10; policy accept; }',
    );
    run('nft', 'add rule inet firewalld filter_FORWARD ct state established,related accept');
    run('nft', 'add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited');
    await using one = await setting();
    const told = 'nftables chain "inet firewalld filter_FORWARD" drops packets of bridge "berth0"';
    expect(one.driver.facts().warnings).toEqual([told]);
    expect([one.ping('192.0.2.2'), one.ping('fd00:ffff::2')]).toEqual([false, false]);
    // firewall-cmd --zone=trusted --add-interface=berth0, and a reload writes its table anew.
    run(
      'nft',
      `flush chain inet firewalld filter_FORWARD
       add rule inet firewalld filter_FORWARD ct state established,related accept
       add rule inet firewalld filter_FORWARD iifname "berth0" accept
       add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited`,
    );
    await passes(one);
    await one.driver.ensure();
    expect(one.driver.facts().warnings).toEqual([]);
  });
}
