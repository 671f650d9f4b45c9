/** A container's connections to networks, as clients of dockerd of all ages ask for them and look at them. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const MAC = '02:42:ac:11:00:42';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const inspected = (container: string, format: string) => d.must(['inspect', '-f', format, container]);

test('a link needs a container of the default network', async () => {
  await d.must(['network', 'create', 'apart']);
  await d.must(['run', '-d', '--name', 'far', '--network', 'apart', IMG, 'sleep', '1000']);
  const refused = await d.docker(['run', '--rm', '--link', 'far:far', IMG, 'true']);
  expect(refused.code).toBe(125);
  expect(refused.stderr).toContain('Cannot link to /far, as it does not belong to the default network');
  await d.must(['network', 'connect', 'bridge', 'far']);
  await d.must(['run', '--rm', '--link', 'far:far', IMG, 'grep', 'far', '/etc/hosts']);
  await d.must(['rm', '-f', 'far']);
  await d.must(['network', 'rm', 'apart']);
}, 60_000);

test('a hardware address: by network or for all, with the network by name or id; inspect has it in the config too', async () => {
  const id = await d.must(['network', 'create', 'mine']);
  const configured = '{{.Config.MacAddress}} {{.NetworkSettings.Networks.mine.MacAddress}}';
  await d.must(['create', '--name', 'by-network', '--network', `name=mine,mac-address=${MAC}`, IMG, 'true']);
  expect(await inspected('by-network', configured)).toBe(`${MAC} ${MAC}`);
  await d.must(['create', '--name', 'without', '--network', 'mine', IMG, 'true']);
  expect(JSON.parse(await inspected('without', '{{json .Config}}'))).not.toHaveProperty('MacAddress');
  const body = {
    ...{ Image: IMG, Cmd: ['true'], MacAddress: MAC, HostConfig: { NetworkMode: id } },
    NetworkingConfig: { EndpointsConfig: { mine: { Aliases: ['other'] } } },
  };
  expect((await d.request('POST', '/v1.25/containers/create?name=both', body)).status).toBe(201);
  expect(await inspected('both', '{{.NetworkSettings.Networks.mine.MacAddress}}')).toBe(MAC);
  await d.must(['rm', 'by-network', 'without', 'both']);
  await d.must(['network', 'rm', 'mine']);
}, 60_000);

test('disconnect -f takes a network away that is gone, from a container that does not run', async () => {
  await d.must(['network', 'create', 'brief']);
  await d.must(['run', '--name', 'ended', '--network', 'brief', IMG, 'true']);
  await d.must(['network', 'rm', 'brief']);
  const refused = await d.docker(['network', 'disconnect', 'brief', 'ended']);
  expect(refused.stderr).toContain('network brief not found');
  await d.must(['network', 'disconnect', '-f', 'brief', 'ended']);
  expect(await inspected('ended', '{{json .NetworkSettings.Networks}}')).toBe('{}');
  await d.must(['rm', 'ended']);
}, 60_000);

test('an IPv4 address is no IPv6 address, also when it looks like one', async () => {
  for (const address of ['172.28.99.99', '::ffff:172.28.99.99']) {
    const refused = await d.docker(['create', '--network', 'bridge', '--ip6', address, IMG, 'true']);
    expect(refused.stderr).toContain(`invalid IPv6 address: ${address}`);
  }
}, 60_000);
