/** daemon.json keys of networks, seen by containers. */
import { expect, test } from 'bun:test';
import { eventually } from '../../support/command.ts';
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
    '--default-address-pool',
    'base=fd00:215::/62,size=64',
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
  expect(await d.must(['info', '-f', '{{json .DefaultAddressPools}}'])).toBe(
    '[{"Base":"10.215.0.0/16","Size":26},{"Base":"fd00:215::/62","Size":64}]',
  );
  await d.must(['network', 'create', '--ipv6', 'six']);
  expect(await d.must(['network', 'inspect', '-f', '{{(index .IPAM.Config 1).Subnet}}', 'six'])).toMatch(
    /^fd00:215:(0:[123])?:?:\/64$/,
  );
  await d.must(['run', '-d', '--name', 'shown', '-p', '80', IMG, 'sleep', '1000']);
  expect(await d.must(['port', 'shown', '80'])).toMatch(/^127\.0\.0\.1:\d+$/);
  const ip = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'shown']);
  expect((await d.docker(['run', '--rm', IMG, 'ping', '-c', '1', '-W', '1', ip])).code).not.toBe(0);
  expect(
    await d.must(['network', 'inspect', '-f', '{{index .Options "com.docker.network.bridge.enable_icc"}}', 'bridge']),
  ).toBe('false');
  await d.must(['rm', '-f', 'shown']);

  // Containers that are linked reach each other where others do not, on the ports that are exposed.
  const serve = ['sh', '-c', 'nc -ll -p 80 -e echo open & nc -ll -p 81 -e echo shut & exec sleep 1000'];
  await d.must(['run', '-d', '--name', 'db', '--expose', '80', IMG, ...serve]);
  const answer = async (port: number, ...link: string[]) => {
    const at = link.length > 0 ? 'db' : await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'db']);
    return (await d.docker(['run', '--rm', ...link, IMG, 'nc', '-w', '2', at, String(port)])).stdout.trim();
  };
  const link = ['--link', 'db'];
  await eventually('the linked one answers', async () => (await answer(80, ...link)) === 'open');
  const said = async () => [await answer(80, ...link), await answer(81, ...link), await answer(80)];
  expect(await said()).toEqual(['open', '', '']);
  // The same over a restart of the daemon, of a pair that goes on; and by another address.
  await d.must(['run', '-d', '--name', 'app', '--link', 'db', IMG, 'sleep', '1000']);
  await d.restart();
  const ask = () => d.docker(['exec', 'app', 'nc', '-w', '2', 'db', '80']);
  await eventually('the linked one answers', async () => (await ask()).stdout.trim() === 'open');
  await d.must(['restart', '-t', '0', 'db']);
  await eventually('the linked one is reached again', async () => (await ask()).stdout.trim() === 'open');
  await d.must(['rm', '-f', 'app', 'db']);
  await d.must(['network', 'rm', 'one', 'six']);
}, 120_000);
