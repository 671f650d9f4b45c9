/** The default bridge, host and none; the files that name things. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

test('the bridge is the default: address, route, gateway, loopback', async () => {
  const out = await d.must([
    'run',
    '--rm',
    IMG,
    'sh',
    '-c',
    'ip -4 addr show eth0; ip route; ip addr show lo; ping -c 1 -W 2 $(ip route | cut -d" " -f3 | head -1)',
  ]);
  expect(out).toContain(`inet ${d.subnet}.`);
  expect(out).toContain(`default via ${d.subnet}.1 dev eth0`);
  expect(out).toContain('127.0.0.1/8');
  expect(out).toContain('1 packets received');
  expect(fs.existsSync(`/sys/class/net/${d.bridge}`)).toBe(true);
});

test('two containers reach each other by address; the host reaches both', async () => {
  await d.must(['run', '-d', '--name', 'server', IMG, 'sh', '-c', 'while :; do echo ahoy | nc -l -p 7000; done']);
  const ip = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'server']);
  expect(ip.startsWith(`${d.subnet}.`)).toBe(true);
  expect(await d.must(['run', '--rm', IMG, 'nc', '-w', '3', ip, '7000'])).toBe('ahoy');
  await must('ping', ['-c', '1', '-W', '2', ip]).catch(async () =>
    must('/bin/busybox', ['ping', '-c', '1', '-W', '2', ip]),
  );
  await d.must(['rm', '-f', 'server']);
});

test('addresses are given back', async () => {
  const seen = new Set<string>();
  for (let i = 0; i < 12; i++) seen.add(await d.must(['run', '--rm', IMG, 'hostname', '-i']));
  const id = await d.must(['run', '-d', IMG, 'sleep', '100']);
  const inspect = await d.must([
    'inspect',
    '-f',
    '{{.NetworkSettings.Networks.bridge.IPAddress}} {{.NetworkSettings.Networks.bridge.Gateway}} {{.NetworkSettings.Networks.bridge.IPPrefixLen}}',
    id,
  ]);
  expect(inspect).toMatch(
    new RegExp(`^${d.subnet.replaceAll('.', '\\.')}\\.\\d+ ${d.subnet.replaceAll('.', '\\.')}\\.1 24$`),
  );
  await d.must(['rm', '-f', id]);
  await eventually('no veth is left', () => !fs.readdirSync(`/sys/class/net/${d.bridge}/brif`).length);
});

test('/etc/hosts, /etc/hostname and resolv.conf', async () => {
  const out = await d.must([
    'run',
    '--rm',
    '-h',
    'box',
    '--add-host',
    'db:10.0.0.9',
    IMG,
    'sh',
    '-c',
    'cat /etc/hostname /etc/hosts /etc/resolv.conf',
  ]);
  expect(out).toStartWith('box\n');
  expect(out).toContain('127.0.0.1\tlocalhost');
  expect(out).toMatch(/10\.0\.0\.9\tdb/);
  expect(out).toMatch(new RegExp(`${d.subnet.replaceAll('.', '\\.')}\\.\\d+\\tbox`));
  expect(out).toContain('nameserver ');
  const dns = await d.must([
    'run',
    '--rm',
    '--dns',
    '192.0.2.53',
    '--dns-search',
    'example.test',
    '--dns-option',
    'ndots:2',
    IMG,
    'cat',
    '/etc/resolv.conf',
  ]);
  expect(dns).toContain('nameserver 192.0.2.53');
  expect(dns).toContain('search example.test');
  expect(dns).toContain('options ndots:2');
});

test('none has only loopback; host has the host’s links; container:X shares', async () => {
  expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'ls', '/sys/class/net'])).toBe('lo');
  expect(await d.must(['run', '--rm', '--network', 'host', IMG, 'ls', '/sys/class/net'])).toContain(d.bridge);
  await d.must(['run', '-d', '--name', 'owner', IMG, 'sleep', '100']);
  const a = await d.must(['exec', 'owner', 'ip', '-4', 'addr', 'show', 'eth0']);
  expect(await d.must(['run', '--rm', '--network', 'container:owner', IMG, 'ip', '-4', 'addr', 'show', 'eth0'])).toBe(
    a,
  );
  const hosts = await d.must(['exec', 'owner', 'cat', '/etc/hosts']);
  expect(await d.must(['run', '--rm', '--network', 'container:owner', IMG, 'cat', '/etc/hosts'])).toBe(hosts);
  // A network of its own in the process numbers of another: the network is made in the second clone.
  for (let i = 0; i < 5; i++) {
    const shared = await d.must(['run', '--rm', '--pid', 'container:owner', IMG, 'sh', '-c', 'ps; ls /sys/class/net']);
    expect(shared).toContain('sleep 100');
    expect(shared).toContain('eth0');
  }
  await d.must(['rm', '-f', 'owner']);
});

test('a container on the bridge survives the daemon with its address', async () => {
  await d.must(['run', '-d', '--name', 'web', IMG, 'sh', '-c', 'while :; do echo up | nc -l -p 80; done']);
  const ip = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web']);
  await d.restart();
  expect(await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web'])).toBe(ip);
  expect(await d.must(['run', '--rm', IMG, 'nc', '-w', '3', ip, '80'])).toBe('up');
  const other = await d.must(['run', '--rm', IMG, 'hostname', '-i']);
  expect(other).not.toBe(ip);
  await d.must(['rm', '-f', 'web']);
}, 60_000);

test('forged addresses do not leave the container', async () => {
  await d.must(['run', '-d', '--name', 'victim', IMG, 'sleep', '100']);
  const victim = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'victim']);
  const r = await d.docker([
    'run',
    '--rm',
    '--cap-add',
    'NET_ADMIN',
    IMG,
    'sh',
    '-c',
    `ip addr add ${d.subnet}.250/24 dev eth0; ping -c 1 -W 1 -I ${d.subnet}.250 ${victim}`,
  ]);
  expect(r.stdout).toContain('0 packets received');
  await d.must(['rm', '-f', 'victim']);
});
