/** Keys of daemon.json that decide how the daemon treats the host's network and its default bridge. */
import { expect, test } from 'bun:test';
import * as dgram from 'node:dgram';
import * as net from 'node:net';
import { eventually, must as command } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { scriptInside } from '../../support/inside.ts';

const IMG = 'berth.test/busybox:1';

async function answerOf(port: number, host: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = net.connect(port, host);
  let text = '';
  socket.setTimeout(5000, () => socket.destroy(new Error('timeout')));
  socket.on('data', (bytes) => {
    text += bytes.toString();
  });
  socket.on('end', () => resolve(text));
  socket.on('error', reject);
  return promise;
}

function answerOfUdp(port: number): Promise<string> {
  return eventually('an answer by UDP', async () => {
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const socket = dgram.createSocket('udp4');
    const timer = setTimeout(() => resolve(undefined), 1000);
    socket.once('message', (bytes) => resolve(bytes.toString()));
    socket.send('?', port, '127.0.0.1');
    return promise.finally(() => {
      clearTimeout(timer);
      socket.close();
    });
  });
}

const tablesOf = async (d: TestDaemon): Promise<string> => {
  const tables = await command('nft', ['list', 'tables']);
  // The tables of a data root carry six digits that its bridges' rules name.
  const rules = await Promise.all(
    [...tables.matchAll(/^table inet (berth-\S+)$/gm)].map(([, name = '']) =>
      command('nft', ['list', 'table', 'inet', name]).catch(() => ''),
    ),
  );
  return rules.filter((text) => text.includes(`"${d.bridge}"`)).join('\n');
};

const servers = `
  require('net').createServer((s) => s.end('tcp from ' + s.remoteAddress)).listen(80, '0.0.0.0', () => {
    const u = require('dgram').createSocket('udp4');
    u.on('message', (_, r) => u.send('udp from ' + r.address, r.port, r.address));
    u.bind(53, () => console.log('ready'));
  });`;

test('iptables: false writes no rules; published ports are served all the same, also after a restart', async () => {
  await using d = await TestDaemon.start({ args: ['--iptables=false'] });
  expect(await tablesOf(d)).toBe('');
  await d.must([
    'run',
    '-d',
    '--name',
    'web',
    '-p',
    '127.0.0.1:0:80',
    '-p',
    '127.0.0.1:0:53/udp',
    IMG,
    'sleep',
    '1000',
  ]);
  const portOf = async (what: string) => Number((await d.must(['port', 'web', what])).split(':')[1]);
  const [tcp, udp] = [await portOf('80/tcp'), await portOf('53/udp')];
  await using _ = await scriptInside(Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'web'])), servers);
  // The container sees the host's own address: this is a proxy.
  expect(await answerOf(tcp, '127.0.0.1')).toBe(`tcp from ${d.subnet}.1`);
  expect(await answerOfUdp(udp)).toBe(`udp from ${d.subnet}.1`);
  const taken = await d.docker(['run', '--rm', '-p', `127.0.0.1:${tcp}:80`, IMG, 'true']);
  expect(taken.stderr).toContain(`Bind for 127.0.0.1:${tcp} failed: port is already allocated`);
  await d.restart();
  expect(await eventually('an answer', () => answerOf(tcp, '127.0.0.1'))).toBe(`tcp from ${d.subnet}.1`);
  expect(await answerOfUdp(udp)).toBe(`udp from ${d.subnet}.1`);
  expect(await tablesOf(d)).toBe('');
  await d.must(['network', 'create', 'own']);
  await d.must(['network', 'connect', 'own', 'web']);
  await d.must(['rm', '-f', 'web']);
  await d.must(['network', 'rm', 'own']);
  // A policy that nobody enforces must not be believed in.
  const refused = 'an egress policy needs rules of the firewall, which "iptables": false forbids';
  for (const args of [
    ['run', '--rm', '--label', 'berth.egress=deny', IMG, 'true'],
    ['network', 'create', '-o', 'berth.egress=deny', 'denied'],
    ['run', '--rm', '-p', '7777:77/sctp', IMG, 'true'],
  ]) {
    const { code, stderr } = await d.docker(args);
    const words = args.includes('7777:77/sctp') ? 'Cannot publish port 77/sctp without rules of the firewall' : refused;
    expect([args, code !== 0, stderr.includes(words) || stderr]).toEqual([args, true, true]);
  }
  expect(await d.must(['network', 'ls', '-q', '--filter', 'name=denied'])).toBe('');
  // The port is free for the next one at once.
  await d.must(['run', '--rm', '-p', `127.0.0.1:${tcp}:80`, IMG, 'true']);
}, 180_000);

test('ip6tables: false leaves IPv6 alone, and the default bridge has IPv6 when asked', async () => {
  const args = ['--ip6tables=false', '--ipv6', '--fixed-cidr-v6', 'fd00:217::/64', '--host-gateway-ip', '192.0.2.99'];
  await using d = await TestDaemon.start({ args: [...args, '--default-gateway-v6', 'fd00:217::99'] });
  const shown = await d.must(['network', 'inspect', '-f', '{{.EnableIPv6}} {{json .IPAM.Config}}', 'bridge']);
  expect(shown).toBe(
    `true [{"Subnet":"${d.subnet}.0/24","Gateway":"${d.subnet}.1"},{"Subnet":"fd00:217::/64","Gateway":"fd00:217::1"}]`,
  );
  await d.must(['run', '-d', '--name', 'six', '-p', '80', '--add-host', 'outer:host-gateway', IMG, 'sleep', '1000']);
  expect(await d.must(['exec', 'six', 'ip', '-6', 'route'])).toContain('default via fd00:217::99');
  expect(await d.must(['exec', 'six', 'cat', '/etc/hosts'])).toContain('192.0.2.99\touter');
  const rules = await tablesOf(d);
  expect(rules).toMatch(/chain forward \{\n.*\n\s*meta nfproto ipv6 accept/);
  const port = Number(/\[::\]:(\d+)/.exec(await d.must(['port', 'six', '80']))?.[1]);
  const script = `require('net').createServer((s) => s.end('six')).listen(80, '::', () => console.log('ready'));`;
  await using _ = await scriptInside(Number(await d.must(['inspect', '-f', '{{.State.Pid}}', 'six'])), script);
  expect(await answerOf(port, '::1')).toBe('six');
  await d.must(['rm', '-f', 'six']);
  const denied = await d.docker(['run', '--rm', '--label', 'berth.egress=deny', IMG, 'true']);
  expect([denied.code, denied.stderr.includes('which "ip6tables": false forbids of IPv6')]).toEqual([125, true]);
}, 180_000);

test('bip6 with a range, allow-direct-routing, a mark', async () => {
  const args = ['--ipv6', '--bip6', 'fd00:218::9/64', '--fixed-cidr-v6', 'fd00:218::1:0/112', '--allow-direct-routing'];
  await using d = await TestDaemon.start({ args: [...args, '--bridge-accept-fwmark', '0x7/0xf'] });
  const six = await d.must(['run', '--rm', IMG, 'ip', '-6', 'addr', 'show', 'eth0']);
  expect(six).toContain('inet6 fd00:218::1:');
  await d.must(['run', '-d', '--name', 'web', '-p', '80', IMG, 'sleep', '1000']);
  const rules = await tablesOf(d);
  expect(rules).toMatch(/meta mark & 0x0000000f == 0x00000007 accept/);
  expect(rules).toMatch(new RegExp(`set direct4 \\{[^}]*${d.subnet}\\.\\d+ \\. tcp \\. 80`));
  await d.must(['rm', '-f', 'web']);
}, 180_000);
