/** What cannot be is refused by name, and nothing is left of it (the daemon's end looks for links): networks, addresses, ports. */
import { expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const net = (d: TestDaemon, last: number, length: number): string =>
  `${d.subnet.replace(/^10\./, '11.')}.${last}/${length}`;

test('networks, addresses, ports and connections that cannot be', async () => {
  await using d = await TestDaemon.start();
  const base = d.subnet.replace(/^10\./, '11.');
  await d.must(['network', 'create', '--subnet', net(d, 0, 25), 'one']);
  await d.must(['network', 'create', '--subnet', net(d, 128, 30), 'tiny']);
  await d.must(['run', '-d', '--name', 'web', '--network', 'one', '--ip', `${base}.9`, IMG, 'sleep', '1000']);
  await d.must(['run', '-d', '--name', 'full', '--network', 'tiny', IMG, 'sleep', '1000']);
  await d.must(['create', '--name', 'idle', '--network', 'one', IMG, 'true']);
  const option = 'com.docker.network';
  const create = (...args: string[]) => ['network', 'create', ...args, 'two'];
  const run = (...args: string[]) => ['run', '--rm', ...args, IMG, 'true'];
  const refused: readonly (readonly [readonly string[], string])[] = [
    [create('--subnet', net(d, 64, 26)), 'Pool overlaps with other one on this address space'],
    [create('--subnet', `${base}.0/33`), 'invalid CIDR block notation'],
    [create('--subnet', `${base}.193/26`), `it should be ${base}.192/26`],
    [create('--subnet', net(d, 192, 26), '--ip-range', '12.0.0.0/28'), 'no matching subnet for range 12.0.0.0/28'],
    [create('--subnet', net(d, 192, 26), '--gateway', '12.0.0.1'), 'no matching subnet for gateway 12.0.0.1'],
    [create('--subnet', net(d, 192, 26), '--aux-address', 'a=12.0.0.1'), 'no matching subnet for aux-address 12.0.0.1'],
    [create('-d', 'nosuch'), 'plugin "nosuch" not found'],
    [create('--ipam-driver', 'nosuch'), 'plugin "nosuch" not found'],
    [create('-o', `${option}.bridge.enable_icc=maybe`), 'enable_icc'],
    [create('-o', `${option}.bridge.nosuch=1`), `unknown network option "${option}.bridge.nosuch"`],
    [create('-o', `${option}.driver.mtu=abc`), 'mtu'],
    [create('-o', `${option}.bridge.gateway_mode_ipv4=bogus`), 'gateway_mode_ipv4'],
    [create('--ipv4=false'), 'IPv4 or IPv6 must be enabled'],
    [['network', 'create', 'one'], 'network with name one already exists'],
    [['network', 'create', 'bridge'], 'operation is not permitted on predefined bridge network'],
    [['network', 'rm', 'one'], 'network one has active endpoints (name:"web"'],
    [['network', 'rm', 'bridge'], 'bridge is a pre-defined network and cannot be removed'],
    [['network', 'rm', 'nope'], 'network nope not found'],
    [run('--network', 'tiny'), "no available IPv4 addresses on this network's address pools: tiny ("],
    [run('--network', 'one', '--ip', `${base}.9`), 'Address already in use'],
    [run('--network', 'one', '--ip', '12.0.0.9'), 'no configured subnet or ip-range contain the IP address 12.0.0.9'],
    [run('--network', 'one', '--ip', '12.0.0.999'), 'invalid IPv4 address: 12.0.0.999'],
    [run('--ip', `${base}.9`), 'user specified IP address is supported on user defined networks only'],
    [run('--network', 'one', '--ip6', 'fd00::9'), 'networks with user configured subnets'],
    [run('--mac-address', 'zz'), 'zz'],
    [run('--network', 'nope'), 'network nope not found'],
    [run('-p', '8000-8001:80-82'), 'nvalid ranges specified for container and host Ports: 80-82 and 8000-8001'],
    [run('-p', '99999:80'), '99999'],
    [run('-p', '203.0.113.7:8000:80'), 'cannot assign requested address'],
    [['network', 'connect', 'one', 'web'], 'endpoint with name web already exists in network one'],
    [['network', 'connect', 'nope', 'web'], 'network nope not found'],
    [['network', 'connect', 'one', 'nobody'], 'No such container: nobody'],
    [['network', 'connect', 'tiny', 'web'], "no available IPv4 addresses on this network's address pools: tiny ("],
    [['network', 'connect', '--ip', `${base}.200`, 'bridge', 'web'], 'user defined networks only'],
    [['network', 'disconnect', 'bridge', 'web'], 'is not connected to'],
    [['network', 'disconnect', 'host', 'web'], 'host network'],
  ];
  for (const [args, words] of refused) {
    const { code, stderr } = await d.docker(args);
    expect([args, code !== 0, stderr.includes(words) || stderr]).toEqual([args, true, true]);
  }
  // A container that does not run is taken off a network, and once only.
  await d.must(['network', 'disconnect', 'one', 'idle']);
  expect((await d.docker(['network', 'disconnect', 'one', 'idle'])).stderr).toContain('is not connected to');
  await d.must(['network', 'connect', '--ip', `${base}.9`, 'one', 'idle']);
  expect((await d.docker(['start', 'idle'])).stderr).toContain('Address already in use');
  expect(await d.must(['network', 'ls', '--filter', 'type=custom', '--format', '{{.Name}}'])).toBe('one\ntiny');
  // Each address that was not given is there for the next one.
  await d.must(['rm', '-f', 'full', 'idle']);
  await d.must(run('--network', 'tiny'));
  await d.must(['rm', '-f', 'web']);
  await d.must(run('--network', 'one', '--ip', `${base}.9`));
  await d.must(['network', 'rm', 'one', 'tiny']);
}, 120_000);
