/** Networks and addresses by a plugin that the test makes, by the stock docker CLI. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { NetworkPlugin } from '../../support/network-plugin.ts';

setDefaultTimeout(120_000);

const IMG = 'berth.test/busybox:1';
const NAME = `netplug${process.pid}`;
let d: TestDaemon;
let plugin: NetworkPlugin;
beforeAll(async () => {
  plugin = new NetworkPlugin(NAME);
  d = await TestDaemon.start();
});
afterAll(async () => {
  try {
    await d[Symbol.asyncDispose]();
  } finally {
    plugin[Symbol.dispose]();
  }
});

const must = (...args: string[]) => d.must(args);
const refusal = async (words: string, ...args: string[]): Promise<void> => {
  const refused = await d.docker(args);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain(words);
};

test('a network of a plugin: made, joined, connected live, left and removed', async () => {
  const subnet = ['--subnet', '10.216.0.0/24', '--aux-address', 'a=10.216.0.9'];
  const id = await must('network', 'create', '-d', NAME, ...subnet, '-o', 'colour=red', 'theirs');
  const [created] = plugin.bodies('NetworkDriver.CreateNetwork');
  expect(created).toMatchObject({
    NetworkID: id,
    Options: { 'com.docker.network.generic': { colour: 'red' }, 'com.docker.network.enable_ipv6': false },
    IPv4Data: [{ Pool: '10.216.0.0/24', Gateway: '10.216.0.1/24', AuxAddresses: { a: '10.216.0.9/24' } }],
  });
  expect(await must('network', 'ls', '--filter', `driver=${NAME}`, '--format', '{{.Name}} {{.Driver}}')).toBe(
    `theirs ${NAME}`,
  );
  await must('run', '-d', '--name', 'p1', '--network', 'name=theirs,driver-opt=their.option=7', IMG, 'sleep', '1000');
  expect(plugin.bodies('NetworkDriver.CreateEndpoint')[0]).toMatchObject({
    Options: { 'their.option': '7' },
    Interface: { Address: '10.216.0.2/24', MacAddress: '' },
  });
  const shown = await must('exec', 'p1', 'ip', 'addr', 'show', 'eth0');
  expect(shown).toContain('link/ether 02:11:22:33:44:55');
  expect(shown).toContain('inet 10.216.0.2/24');
  const routes = await must('exec', 'p1', 'ip', 'route');
  expect(routes).toContain('default via 10.216.0.1 dev eth0');
  expect(routes).toContain('203.0.113.0/24 via 10.216.0.9 dev eth0');
  expect(await must('inspect', '-f', '{{.NetworkSettings.Networks.theirs.Gateway}}', 'p1')).toBe('10.216.0.1');
  // A second one comes while it runs.
  await must('run', '-d', '--name', 'p2', IMG, 'sleep', '1000');
  await must('network', 'connect', 'theirs', 'p2');
  expect(await must('exec', 'p2', 'ls', '/sys/class/net')).toBe('eth0\neth1\nlo');
  await must('network', 'disconnect', 'theirs', 'p2');
  expect(plugin.bodies('NetworkDriver.Leave').length).toBeGreaterThan(0);
  expect(await must('exec', 'p2', 'ls', '/sys/class/net')).toBe('eth0\nlo');
  await d.restart();
  expect(await must('exec', 'p1', 'ip', 'route')).toContain('default via 10.216.0.1');
  await must('rm', '-f', 'p1', 'p2');
  plugin.failing.add('NetworkDriver.DeleteNetwork');
  await refusal('NetworkDriver.DeleteNetwork is out of order', 'network', 'rm', 'theirs');
  plugin.failing.clear();
  await must('network', 'rm', 'theirs');
  const [made, gone] = ['CreateEndpoint', 'DeleteEndpoint'].map((m) => plugin.bodies(`NetworkDriver.${m}`).length);
  expect(gone).toBe(made);
});

test('addresses of a plugin on our bridge: asked for, given back, told again after a restart', async () => {
  plugin.calls.length = 0;
  await must('network', 'create', '--ipam-driver', NAME, '--ipam-opt', 'a=b', 'ours');
  expect(plugin.bodies('IpamDriver.RequestPool')).toEqual([
    { AddressSpace: 'here', Pool: '', SubPool: '', Options: { a: 'b' }, V6: false } as object,
  ]);
  expect(await must('network', 'inspect', '-f', '{{json .IPAM}}', 'ours')).toBe(
    `{"Driver":"${NAME}","Options":{"a":"b"},"Config":[{"Subnet":"10.216.0.0/24","Gateway":"10.216.0.1"}]}`,
  );
  await must('run', '-d', '--name', 'o1', '--network', 'ours', IMG, 'sleep', '1000');
  const address = await must('inspect', '-f', '{{.NetworkSettings.Networks.ours.IPAddress}}', 'o1');
  expect([...plugin.given]).toEqual(['10.216.0.1', address]);
  expect(await must('run', '--rm', '--network', 'ours', IMG, 'ping', '-c', '1', '-W', '3', 'o1')).toContain(
    '1 packets received',
  );
  expect([...plugin.given]).toEqual(['10.216.0.1', address]);
  plugin.given.clear();
  await d.restart();
  await eventually('the plugin is told', () => plugin.given.has(address));
  expect([...plugin.given]).toEqual([address]);
  await must('rm', '-f', 'o1');
  expect([...plugin.given]).toEqual([]);
  await must('network', 'rm', 'ours');
  await eventually('the pool is given back', () => plugin.pools.size === 0 && plugin.given.size === 0);
});

test('failures of a plugin are told in its words, and nothing is left', async () => {
  await refusal('plugin "nosuchplugin" not found', 'network', 'create', '-d', 'nosuchplugin', 'bad');
  await refusal('plugin "nosuchplugin" not found', 'network', 'create', '--ipam-driver', 'nosuchplugin', 'bad');
  for (const [method, args] of [
    ['NetworkDriver.CreateNetwork', ['-d', NAME, '--subnet', '10.216.1.0/24']],
    ['IpamDriver.RequestPool', ['--ipam-driver', NAME]],
    ['IpamDriver.RequestAddress', ['--ipam-driver', NAME]],
  ] as const) {
    plugin.failing.add(method);
    await refusal(`${method} is out of order`, 'network', 'create', ...args, 'bad');
    plugin.failing.clear();
    await refusal('network bad not found', 'network', 'inspect', 'bad');
  }
  expect([...plugin.pools]).toEqual([]);
  await must('network', 'create', '-d', NAME, '--ipam-driver', NAME, 'both');
  for (const method of ['IpamDriver.RequestAddress', 'NetworkDriver.CreateEndpoint', 'NetworkDriver.Join']) {
    plugin.failing.add(method);
    await refusal(`${method} is out of order`, 'run', '--rm', '--network', 'both', IMG, 'true');
    plugin.failing.clear();
    expect([...plugin.given]).toEqual(['10.216.0.1']);
  }
  // One that has died is an error; its network goes when it is back.
  await plugin.die();
  const dead = await d.docker(['run', '--rm', '--network', 'both', IMG, 'true']);
  expect(dead.code).toBe(125);
  expect(dead.stderr).toContain(`plugin "${NAME}"`);
  plugin.start();
  await must('network', 'rm', 'both');
});
