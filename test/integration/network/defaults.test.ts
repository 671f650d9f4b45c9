/** daemon.json keys of networks, seen by containers. */
import { expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';

test('pools, options and the default bridge by daemon.json', async () => {
  const args = [
    '--default-address-pool',
    'base=10.215.0.0/16,size=26',
    '--mtu',
    '1400',
    '--icc=false',
    '--ip',
    '127.0.0.1',
  ];
  await using d = await TestDaemon.start({
    args: [...args, '--default-network-opt', 'bridge=com.docker.network.driver.mtu=1300'],
  });
  await d.must(['network', 'create', 'one']);
  expect(await d.must(['network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}}', 'one'])).toMatch(
    /^10\.215\.\d+\.\d+\/26$/,
  );
  expect(await d.must(['run', '--rm', '--network', 'one', IMG, 'cat', '/sys/class/net/eth0/mtu'])).toBe('1300');
  expect(await d.must(['run', '--rm', IMG, 'cat', '/sys/class/net/eth0/mtu'])).toBe('1400');
  expect(await d.must(['info', '-f', '{{json .DefaultAddressPools}}'])).toBe('[{"Base":"10.215.0.0/16","Size":26}]');
  await d.must(['run', '-d', '--name', 'shown', '-p', '80', IMG, 'sleep', '1000']);
  expect(await d.must(['port', 'shown', '80'])).toMatch(/^127\.0\.0\.1:\d+$/);
  const ip = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'shown']);
  expect((await d.docker(['run', '--rm', IMG, 'ping', '-c', '1', '-W', '1', ip])).code).not.toBe(0);
  expect(
    await d.must(['network', 'inspect', '-f', '{{index .Options "com.docker.network.bridge.enable_icc"}}', 'bridge']),
  ).toBe('false');
  await d.must(['rm', '-f', 'shown']);
  await d.must(['network', 'rm', 'one']);
}, 60_000);
