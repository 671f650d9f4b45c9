/** Configurations of networks (`network create --config-only`) and networks made of them, in dockerd 28's words. */
import { expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';

test('a configuration is no network; networks are made of it, and keep it', async () => {
  await using d = await TestDaemon.start();
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await d.docker(['network', ...args]);
    expect([args, code]).toEqual([args, 1]);
    return stderr.replace('Error response from daemon: ', '').replace('\nexit status 1', '').trim();
  };
  const inspect = async (name: string, format: string) => d.must(['network', 'inspect', '-f', format, name]);
  const bridge = `${d.bridge}c`;
  const options = ['--subnet', '10.99.7.0/24', '-o', `com.docker.network.bridge.name=${bridge}`, '--label', 'a=b'];
  await d.must(['network', 'create', '--config-only', ...options, 'conf']);
  const shown = '{{.Driver}} {{.Scope}} {{.ConfigOnly}} {{json .IPAM}} {{json .Options}} {{json .Labels}}';
  const said = `{"com.docker.network.bridge.name":"${bridge}"} {"a":"b"}`;
  expect(await inspect('conf', shown)).toBe(
    `null local true {"Driver":"default","Options":{},"Config":[{"Subnet":"10.99.7.0/24"}]} ${said}`,
  );
  const only =
    'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.';
  for (const flag of ['--internal', '--attachable', '--scope=local'])
    expect(await refused('create', '--config-only', flag, 'other')).toBe(only);
  const from = ['create', '--config-from', 'conf', 'other'];
  expect(await refused('create', '--config-only', '--config-from', 'conf', 'other')).toBe(
    'a configuration network cannot depend on another configuration network',
  );
  for (const flags of [['--subnet', '10.98.0.0/24'], ['--label', 'a=b'], ['--ipv6']]) {
    expect(await refused(...from, ...flags)).toBe(
      'user specified configurations are not supported if the network depends on a configuration network',
    );
  }
  expect(await refused(...from, '-o', 'a=b')).toBe(
    'network driver options are not supported if the network depends on a configuration network',
  );
  expect(await refused('create', '--config-from', 'nope', 'other')).toBe('configuration network "nope" does not exist');
  expect(await refused('create', '--config-only', '--subnet', '10.97.0.300/24', 'other')).toContain(
    '10.97.0.300/24: invalid CIDR block notation',
  );
  expect(await refused('create', '--config-only', 'conf')).toBe('network with name conf already exists');

  // It is nobody's network, and its addresses are nobody's yet.
  await d.must(['network', 'create', '--config-from', 'conf', '--internal', 'made']);
  expect(
    await inspect('made', '{{.Driver}} {{.Internal}} {{.ConfigOnly}} {{.ConfigFrom.Network}} {{json .Labels}}'),
  ).toBe('bridge true false conf {"a":"b"}');
  expect(await inspect('made', '{{(index .IPAM.Config 0).Subnet}} {{json .Options}}')).toBe(
    `10.99.7.0/24 {"com.docker.network.bridge.name":"${bridge}"}`,
  );
  expect(await d.must(['run', '--rm', '--network', 'made', IMG, 'ip', '-4', 'addr', 'show', 'eth0'])).toContain(
    '10.99.7.2/24',
  );
  expect(await refused(...from)).toBe('invalid pool request: Pool overlaps with other one on this address space');
  expect(await refused('create', '--config-from', 'made', 'other')).toBe('configuration network "made" does not exist');
  const started = await d.docker(['run', '--rm', '--network', 'conf', IMG, 'true']);
  expect([started.code, started.stderr.includes('cannot create endpoint on configuration-only network')]).toEqual([
    125,
    true,
  ]);

  // Of a configuration that leaves addresses open each network chooses its own. All of it outlives the daemon.
  await d.must(['network', 'create', '--config-only', '--ipv6', 'open']);
  expect(await inspect('open', '{{.EnableIPv6}} {{json .IPAM.Config}}')).toBe('true null');
  await d.restart();
  await d.must(['network', 'create', '--config-from', 'open', 'chosen']);
  expect(await inspect('chosen', '{{.EnableIPv6}} {{len .IPAM.Config}} {{.Scope}}')).toBe('true 2 local');
  expect(await refused('rm', 'conf')).toBe('error while removing network: configuration network "conf" is in use');
  // Nobody is on them: prune takes the networks, and never a configuration.
  const pruned = await d.must(['network', 'prune', '-f']);
  expect(pruned.split('\n').slice(1).sort()).toEqual(['chosen', 'made']);
  expect(await d.must(['network', 'ls', '--filter', 'driver=null', '--format', '{{.Name}}'])).toBe('conf\nnone\nopen');
  await d.must(['network', 'rm', 'conf', 'open']);

  // A scope is a word; a swarm there is none.
  await d.must(['network', 'create', '--scope', 'global', 'wide']);
  expect(await d.must(['network', 'ls', '--filter', 'scope=global', '--format', '{{.Name}}'])).toBe('wide');
  expect(await refused('create', '--scope', 'swarm', 'other')).toBe(
    'cannot create a swarm scoped network when swarm is not active',
  );
  await d.must(['network', 'rm', 'wide']);
}, 60_000);
