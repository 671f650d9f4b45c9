/** Networks of the user: create, connect, disconnect, ports, isolation, by the stock docker CLI. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as dgram from 'node:dgram';
import * as net from 'node:net';

import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { scriptInside } from '../../support/inside.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});

const docker = (...args: string[]) => d.docker(args);
const must = (...args: string[]) => d.must(args);
const inspect = async (name: string, format: string) => must('inspect', '-f', format, name);

async function answerOf(port: number, host = '127.0.0.1'): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = net.connect(port, host);
  let text = '';
  socket.setTimeout(3000, () => socket.destroy(new Error('timeout')));
  socket.on('data', (b) => {
    text += b.toString();
  });
  socket.on('end', () => resolve(text));
  socket.on('error', reject);
  return promise;
}

const echo = ['sh', '-c', 'while :; do echo hello | nc -l -p 80; done'];

test('create, list, inspect and remove', async () => {
  const id = await must('network', 'create', '--subnet', '10.213.1.0/24', '--label', 'a=b', 'net1');
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  expect(await must('network', 'ls', '--filter', 'label=a=b', '--format', '{{.Name}} {{.Driver}} {{.Scope}}')).toBe(
    'net1 bridge local',
  );
  expect(await must('network', 'inspect', '-f', '{{json .IPAM.Config}}', 'net1')).toBe(
    '[{"Subnet":"10.213.1.0/24","Gateway":"10.213.1.1"}]',
  );
  expect((await docker('network', 'create', 'net1')).stderr).toContain('network with name net1 already exists');
  expect((await docker('network', 'create', '--subnet', '10.213.1.0/25', 'net2')).stderr).toContain(
    'Pool overlaps with other one on this address space',
  );
  await must('network', 'rm', 'net1');
  expect((await docker('network', 'inspect', 'net1')).stderr).toContain('network net1 not found');
});

test('containers of one network reach each other, of two networks do not', async () => {
  await must('network', 'create', 'left');
  await must('network', 'create', 'right');
  await must('run', '-d', '--name', 'l1', '--network', 'left', IMG, ...echo);
  await must('run', '-d', '--name', 'r1', '--network', 'right', IMG, ...echo);
  const l1 = await inspect('l1', '{{.NetworkSettings.Networks.left.IPAddress}}');
  const r1 = await inspect('r1', '{{.NetworkSettings.Networks.right.IPAddress}}');
  expect(await must('run', '--rm', '--network', 'left', IMG, 'nc', '-w', '2', l1, '80')).toBe('hello');
  const across = await docker('run', '--rm', '--network', 'left', IMG, 'nc', '-w', '1', r1, '80');
  expect(across.code).not.toBe(0);
  // Connected, it reaches both.
  await must('network', 'connect', 'right', 'l1');
  expect(await must('exec', 'l1', 'nc', '-w', '2', r1, '80')).toBe('hello');
  expect(await must('exec', 'l1', 'ls', '/sys/class/net')).toBe('eth0\neth1\nlo');
  const rm = await docker('network', 'rm', 'right');
  expect(rm.stderr).toContain('network right has active endpoints');
  await must('network', 'disconnect', 'right', 'l1');
  expect(await must('exec', 'l1', 'ls', '/sys/class/net')).toBe('eth0\nlo');
  await must('rm', '-f', 'l1', 'r1');
  await must('network', 'rm', 'left', 'right');
});

test('published ports: by address, by range, ephemeral, taken; gone with the container', async () => {
  await must('run', '-d', '--name', 'web', '-p', '127.0.0.1:0:80', IMG, ...echo);
  const port = Number((await must('port', 'web', '80')).split(':')[1]);
  expect(await eventually('an answer', () => answerOf(port))).toBe('hello\n');
  const bridge = await must('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', 'bridge');
  await must('run', '-d', '--name', 'all', '-p', `${port + 1}-${port + 3}:80`, IMG, ...echo);
  const shown = await must('ps', '--filter', 'name=all', '--format', '{{.Ports}}');
  expect(shown).toMatch(/^0\.0\.0\.0:\d+->80\/tcp$/);
  const all = Number(/:(\d+)->/.exec(shown)?.[1]);
  expect(await eventually('an answer', () => answerOf(all, bridge))).toBe('hello\n');
  // From inside the container itself, too.
  expect(await must('exec', 'all', 'nc', '-w', '5', bridge, String(all))).toBe('hello');
  const taken = await docker('run', '--rm', '-p', `${all}:80`, IMG, 'true');
  expect(taken.code).toBe(125);
  expect(taken.stderr).toContain(`Bind for 0.0.0.0:${all} failed: port is already allocated`);
  const busy = net.createServer().listen(0, '0.0.0.0');
  await new Promise((resolve) => busy.once('listening', resolve));
  const { port: foreign } = busy.address() as net.AddressInfo; // as: it listens on TCP
  const refused = await docker('run', '--rm', '-p', `${foreign}:80`, IMG, 'true');
  expect(refused.stderr).toContain('address already in use');
  busy.close();
  await must('rm', '-f', 'web', 'all');
  expect(await answerOf(port).catch(() => 'refused')).toBe('refused');
});

test('ports and networks hold over a kill of the daemon', async () => {
  await must('network', 'create', 'kept');
  await must('run', '-d', '--name', 'keep', '--network', 'kept', '-p', '127.0.0.1:0:80', IMG, ...echo);
  const port = Number((await must('port', 'keep', '80')).split(':')[1]);
  const ip = await inspect('keep', '{{.NetworkSettings.Networks.kept.IPAddress}}');
  await d.kill();
  expect(await eventually('an answer', () => answerOf(port))).toBe('hello\n');
  await d.launch();
  expect(await eventually('an answer', () => answerOf(port))).toBe('hello\n');
  expect(await inspect('keep', '{{.NetworkSettings.Networks.kept.IPAddress}}')).toBe(ip);
  expect(await must('run', '--rm', '--network', 'kept', IMG, 'nc', '-w', '2', ip, '80')).toBe('hello');
  await must('rm', '-f', 'keep');
  await must('network', 'rm', 'kept');
});

test('static addresses, IPv6, internal networks', async () => {
  await must('network', 'create', '--subnet', '10.213.7.0/24', '--ipv6', '--subnet', 'fd00:213:7::/64', 'six');
  const out = await must(
    ...['run', '--rm', '--network', 'six', '--ip', '10.213.7.77', '--ip6', 'fd00:213:7::77'],
    ...['--mac-address', '02:aa:00:00:00:07', IMG, 'ip', 'addr', 'show', 'eth0'],
  );
  expect(out).toContain('inet 10.213.7.77/24');
  expect(out).toContain('inet6 fd00:213:7::77/64');
  expect(out).toContain('link/ether 02:aa:00:00:00:07');
  await must('run', '-d', '--name', 'v6', '--network', 'six', '--ip6', 'fd00:213:7::5', IMG, 'sleep', '1000');
  expect(await must('run', '--rm', '--network', 'six', IMG, 'ping', '-c', '1', '-W', '3', 'fd00:213:7::5')).toContain(
    '1 packets received',
  );
  await must('rm', '-f', 'v6');
  await must('network', 'rm', 'six');
  await must('network', 'create', '--internal', 'inner');
  expect(await must('run', '--rm', '--network', 'inner', IMG, 'ip', 'route')).not.toContain('default');
  await must('network', 'rm', 'inner');
  await eventually('the bridges are gone', async () => !(await must('network', 'ls', '-q', '--filter', 'type=custom')));
});

test('prune takes what no running container is on, by label and age', async () => {
  for (const name of ['p1', 'p2', 'p3']) await must('network', 'create', '--label', `is=${name}`, name);
  await must('create', '--name', 'holds', '--network', 'p1', IMG, 'true');
  await must('network', 'create', '--label', 'is=kept', 'p4');
  await must('run', '-d', '--name', 'runs', '--network', 'p4', IMG, 'sleep', '1000');
  expect(await must('network', 'prune', '-f', '--filter', 'until=1h')).toBe('');
  expect(await must('network', 'prune', '-f', '--filter', 'label=is=p2')).toContain('Deleted Networks:\np2');
  expect(await must('network', 'prune', '-f')).toContain('Deleted Networks:\np1\np3');
  await must('rm', '-f', 'runs');
  await must('network', 'rm', 'p4');
  // As dockerd: only a running container holds a network.
  const gone = await docker('start', 'holds');
  expect(gone.code).toBe(1);
  expect(gone.stderr).toContain('not found');
  await must('rm', 'holds');
});

test('berth network: the same by our own command line', async () => {
  const berth = async (...args: string[]) => {
    const r = await d.berth(args);
    if (r.code !== 0) throw new Error(`berth ${args.join(' ')}: ${r.code} ${r.stdout}${r.stderr}`);
    return r.stdout.trim();
  };
  const id = await berth('network', 'create', '--subnet', '10.213.9.0/24', '--gateway', '10.213.9.9', 'ours');
  expect(await berth('network', 'ls', '-q', '--no-trunc', '--filter', 'name=ours')).toBe(id);
  expect(await berth('network', 'ls', '--filter', 'name=ours')).toMatch(
    /NETWORK ID +NAME +DRIVER +SCOPE\n\w{12} +ours +bridge +local/,
  );
  expect(await berth('network', 'inspect', '-f', '{{json .IPAM.Config}}', 'ours')).toBe(
    '[{"Subnet":"10.213.9.0/24","Gateway":"10.213.9.9"}]',
  );
  await berth('run', '-d', '--name', 'one', IMG, 'sleep', '100');
  await berth('network', 'connect', '--ip', '10.213.9.33', '--alias', 'x', 'ours', 'one');
  expect(await berth('exec', 'one', 'ip', 'addr', 'show', 'eth1')).toContain('10.213.9.33/24');
  expect((await d.berth(['network', 'rm', 'ours'])).stderr).toContain('has active endpoints');
  await berth('network', 'disconnect', 'ours', 'one');
  await berth('rm', '-f', 'one');
  expect(await berth('network', 'rm', 'ours')).toBe('ours');
  const missing = await d.berth(['network', 'rm', 'ours']);
  expect([missing.code, missing.stderr.trim()]).toEqual([1, 'Error response from daemon: network ours not found']);
});

test('a UDP client that keeps its port reaches the container that has the published port now', async () => {
  const client = dgram.createSocket('udp4');
  await new Promise<void>((resolve) => client.bind(0, '127.0.0.1', resolve));
  const ask = (port: number): Promise<string> =>
    eventually('an answer', async () => {
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      const timer = setTimeout(() => resolve(undefined), 300);
      client.once('message', (bytes) => resolve(bytes.toString()));
      client.send('?', port, '127.0.0.1');
      return promise.finally(() => clearTimeout(timer));
    });
  try {
    const answers = async (name: string) =>
      scriptInside(
        Number(await inspect(name, '{{.State.Pid}}')),
        `const s = require('dgram').createSocket('udp4'); s.on('message', (_, r) => s.send('${name}', r.port, r.address)); s.bind(53, () => console.log('ready'));`,
      );
    await must('run', '-d', '--name', 'first', '-p', '127.0.0.1:0:53/udp', IMG, 'sleep', '1000');
    const port = Number((await must('port', 'first', '53/udp')).split(':')[1]);
    {
      await using _ = await answers('first');
      expect(await ask(port)).toBe('first');
    }
    // Another address for the second one.
    await must('run', '-d', '--name', 'between', IMG, 'sleep', '1000');
    await must('rm', '-f', 'first');
    await must('run', '-d', '--name', 'second', '-p', `127.0.0.1:${port}:53/udp`, IMG, 'sleep', '1000');
    {
      await using _ = await answers('second');
      expect(await ask(port)).toBe('second');
    }
    await must('rm', '-f', 'between', 'second');
  } finally {
    client.close();
  }
});
