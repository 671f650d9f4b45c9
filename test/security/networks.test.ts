/**
 * Networks against whoever is on them, and beside them: containers that may do anything in their own namespace (their links,
 * addresses, raw packets), and another machine on the host's link. With real packets, in a network namespace of the test's.
 */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { eventually, must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { scriptInside } from '../support/inside.ts';
import { Machine } from '../support/machine.ts';
import { nameServer } from '../support/name-server.ts';
import { isInside } from '../integration/network/namespace.ts';

const IMG = 'berth.test/busybox:1';
const HOST = '192.0.2.1';
const OUTSIDE = '192.0.2.2';
const serve = [IMG, 'nc', '-ll', '-p', '80', '-e', 'echo', 'hello'];

if (isInside(import.meta.path)) {
  setDefaultTimeout(90_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  const machine = () =>
    Machine.start({ link: 'outside', host: [`${HOST}/24`, 'fd00:2::1/64'], own: [`${OUTSIDE}/24`, 'fd00:2::2/64'] });

  interface Box {
    readonly pid: string;
    readonly ip: string;
    readonly ip6: string;
    readonly mac: string;
  }
  const box = async (d: TestDaemon, name: string, network: string, ...args: string[]): Promise<Box> => {
    const [flags, command] = args.includes(IMG)
      ? [args.slice(0, args.indexOf(IMG)), args.slice(args.indexOf(IMG))]
      : [args, [IMG, 'sleep', '1000']];
    await d.must(['run', '-d', '--name', name, '--network', network, ...flags, ...command]);
    const one = `(index .NetworkSettings.Networks "${network}")`;
    const format = `{{.State.Pid}} {{${one}.IPAddress}} {{${one}.MacAddress}} {{${one}.GlobalIPv6Address}}`;
    const [pid = '', ip = '', mac = '', ip6 = ''] = (await d.must(['inspect', '-f', format, name])).split(' ');
    return { pid, ip, mac, ip6 };
  };

  /** A program of the host with all rights in a container's network: what root with every capability could do inside. */
  const inside = ({ pid }: Pick<Box, 'pid'>, ...command: string[]) => run('nsenter', ['-t', pid, '-n', ...command]);
  const mustInside = ({ pid }: Pick<Box, 'pid'>, ...command: string[]) =>
    must('nsenter', ['-t', pid, '-n', ...command]);
  const greets = async (from: Pick<Box, 'pid'> | Machine, host: string, port = 80): Promise<boolean> => {
    const command = ['busybox', 'nc', '-w', '1', host, String(port)];
    const r = from instanceof Machine ? await from.run(...command) : await inside(from, ...command);
    return r.stdout === 'hello\n';
  };
  const pings = async (from: Pick<Box, 'pid'>, to: string): Promise<boolean> =>
    (await inside(from, 'busybox', 'ping', '-c', '1', '-W', '1', to)).code === 0;

  test('two networks do not reach each other, whatever routes a container makes', async () => {
    await using d = await TestDaemon.start();
    await d.must(['network', 'create', '--ipv6', 'left']);
    await d.must(['network', 'create', '--ipv6', 'right']);
    const a = await box(d, 'aa', 'left');
    const near = await box(d, 'near', 'left', ...serve);
    const far = await box(d, 'far', 'right', '-p', '8080:80', ...serve);
    await eventually('its own network', () => greets(a, near.ip));
    expect(await greets(a, near.ip6)).toBe(true);
    for (const target of [far.ip, far.ip6]) expect([target, await greets(a, target)]).toEqual([target, false]);
    for (const target of [far.ip, far.ip6]) expect([target, await pings(a, target)]).toEqual([target, false]);
    const gateway = (await mustInside(a, 'ip', 'route')).split(' ')[2] ?? '';
    await mustInside(a, 'ip', 'route', 'add', `${far.ip}/32`, 'via', gateway);
    expect(await greets(a, far.ip)).toBe(false);
    // By the host's address the published port is what it is for everybody.
    expect(await greets(a, `${d.subnet}.1`, 8080)).toBe(true);
    // Nor by a neighbour entry that leads past the routing.
    await mustInside(a, 'ip', 'neigh', 'replace', gateway, 'lladdr', far.mac, 'dev', 'eth0');
    expect(await greets(a, far.ip)).toBe(false);
    expect((await inside(a, 'busybox', 'nslookup', 'far', '127.0.0.11')).stdout).not.toContain(far.ip);
  });

  test('an internal network leads nowhere, also by a route of its own; names are not asked for outside', async () => {
    await using outside = await machine();
    await using asked = await nameServer(outside.pid, { 'secret.example': [OUTSIDE] }, OUTSIDE);
    await using d = await TestDaemon.start({ args: ['--dns', OUTSIDE] });
    await d.must(['network', 'create', '--internal', 'inner']);
    await d.must(['network', 'create', 'open']);
    const shut = await box(d, 'shut', 'inner');
    const free = await box(d, 'free', 'open');
    const peer = await box(d, 'peer', 'inner', ...serve);
    expect(await pings(free, OUTSIDE)).toBe(true);
    await eventually('its own network', () => greets(shut, peer.ip));
    expect(await pings(shut, OUTSIDE)).toBe(false);
    const gateway = await d.must(['network', 'inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', 'inner']);
    await mustInside(shut, 'ip', 'route', 'add', 'default', 'via', gateway);
    for (const target of [OUTSIDE, free.ip]) expect([target, await pings(shut, target)]).toEqual([target, false]);
    await outside.must('ip', 'route', 'add', `${peer.ip}/32`, 'via', HOST);
    expect(await greets(outside, peer.ip)).toBe(false);
    expect((await inside(free, 'busybox', 'nslookup', 'secret.example', '127.0.0.11')).stdout).toContain(OUTSIDE);
    const before = asked.output();
    expect((await inside(shut, 'busybox', 'nslookup', 'hidden.secret.example', '127.0.0.11')).code).not.toBe(0);
    expect(asked.output()).toBe(before);
  });

  /** Sends one frame from a container's link, or waits for a while; python has raw sockets. */
  const frame = (from: Box, hex: string) =>
    mustInside(
      from,
      'python3',
      '-c',
      `import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
s.send(bytes.fromhex('${hex}'))`,
    );
  const macHex = (mac: string): string => mac.replaceAll(':', '');
  const ipHex = (ip: string): string => Buffer.from(ip.split('.').map(Number)).toString('hex');
  const BROADCAST = 'ffffffffffff';
  /** "I am IP" to everybody. */
  const arpReply = (from: Box, ip: string): string =>
    `${BROADCAST}${macHex(from.mac)}08060001080006040002${macHex(from.mac)}${ipHex(ip)}${BROADCAST}${ipHex(ip)}`;

  function checksum(bytes: Buffer): number {
    let sum = 0;
    for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
  }

  /** A router advertisement of 2001:db8:bad::/64 to all nodes, from the link's own address. */
  function advertisement(from: Box): string {
    const [a = 0, ...rest] = Buffer.from(macHex(from.mac), 'hex');
    const source = Buffer.from([
      0xfe,
      0x80,
      0,
      0,
      0,
      0,
      0,
      0,
      a ^ 2,
      ...rest.slice(0, 2),
      0xff,
      0xfe,
      ...rest.slice(2),
    ]);
    const target = Buffer.from('ff020000000000000000000000000001', 'hex');
    const prefix = `0304 40c0 00015180 00015180 00000000 20010db80bad00000000000000000000`.replaceAll(' ', '');
    const body = Buffer.from(`8600000040000708${'00'.repeat(8)}${prefix}`, 'hex');
    const pseudo = Buffer.concat([source, target, Buffer.from([0, 0, 0, body.length, 0, 0, 0, 58]), body]);
    body.writeUInt16BE(checksum(pseudo), 2);
    const header = Buffer.from([0x60, 0, 0, 0, 0, body.length, 58, 255]);
    return `333300000001${macHex(from.mac)}86dd${Buffer.concat([header, source, target, body]).toString('hex')}`;
  }

  test('forged senders, ARP answers and router advertisements stay at the port; the opt-out lets them through', async () => {
    await using d = await TestDaemon.start();
    await d.must(['network', 'create', '--ipv6', 'net']);
    const evil = await box(d, 'evil', 'net', '--cap-add', 'NET_ADMIN');
    const victim = await box(d, 'victim', 'net');
    const third = await box(d, 'third', 'net', ...serve);
    const open = await box(d, 'open', 'net', '--label', 'berth.spoof-protection=false');
    const neighbour = async () => (await mustInside(victim, 'ip', 'neigh', 'show', third.ip)).toLowerCase();
    const addresses = () => mustInside(victim, 'ip', '-6', 'addr', 'show', 'dev', 'eth0');
    await eventually('an honest packet', () => greets(victim, third.ip));

    for (let i = 0; i < 3; i++) await frame(evil, arpReply(evil, third.ip));
    await frame(evil, advertisement(evil));
    expect(await greets(victim, third.ip)).toBe(true);
    expect(await neighbour()).toContain(third.mac);
    expect(await addresses()).not.toContain('2001:db8:bad');
    // Another's address as its own, IPv4 and IPv6, and another's MAC address.
    await mustInside(evil, 'ip', 'addr', 'add', `${third.ip}/32`, 'dev', 'eth0');
    await mustInside(evil, 'ip', '-6', 'addr', 'add', 'fd00:bad::1/128', 'dev', 'eth0', 'nodad');
    const as = (source: string, to: string) =>
      inside(evil, 'busybox', 'ping', '-c', '1', '-W', '1', '-I', source, to).then((r) => r.code === 0);
    expect(await as(third.ip, victim.ip)).toBe(false);
    expect(await as('fd00:bad::1', victim.ip6)).toBe(false);
    expect(await greets(victim, third.ip)).toBe(true);
    await mustInside(evil, 'ip', 'addr', 'del', `${third.ip}/32`, 'dev', 'eth0');
    await mustInside(evil, 'ip', 'link', 'set', 'eth0', 'address', third.mac);
    expect(await pings(evil, victim.ip)).toBe(false);
    await mustInside(evil, 'ip', 'link', 'set', 'eth0', 'address', evil.mac);

    // The same frames of one that may: they arrive, so what was seen above is the guard's work.
    await frame(open, advertisement(open));
    await eventually('the advertisement arrives', async () => (await addresses()).includes('2001:db8:bad'));
    await frame(open, arpReply(open, third.ip));
    await eventually('the answer is believed', async () => (await neighbour()).includes(open.mac));
  });

  /** Sends the first packet of a connection by hand, to a MAC address; true when it is answered within a second. */
  async function knocks(
    pid: string,
    knock: { readonly to: string; readonly source: string; readonly address: string; readonly port: number },
  ): Promise<boolean> {
    const { to, source, address, port } = knock;
    const script = `import random, socket, struct, time
def checksum(b):
    s = sum(struct.unpack('!%dH' % (len(b) // 2), b))
    s = (s >> 16) + (s & 0xffff)
    return ~(s + (s >> 16)) & 0xffff
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('eth0', 0))
mine = s.getsockname()[4]
source, target = socket.inet_aton('${source}'), socket.inet_aton('${address}')
own = random.randint(20000, 30000)
tcp = struct.pack('!HHIIBBHHH', own, ${port}, 1000, 0, 0x50, 2, 1024, 0, 0)
sum_ = checksum(source + target + struct.pack('!BBH', 0, 6, len(tcp)) + tcp)
tcp = tcp[:16] + struct.pack('!H', sum_) + tcp[18:]
ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 40, 7, 0, 64, 6, 0, source, target)
ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
ipv4 = bytes([8, 0])
s.send(bytes.fromhex('${to.replaceAll(':', '')}') + mine + ipv4 + ip + tcp)
end = time.time() + 1
answered = False
while not answered and time.time() < end:
    s.settimeout(max(0.01, end - time.time()))
    try:
        f = s.recv(2000)
    except OSError:
        break
    answered = f[12:14] == ipv4 and f[23] == 6 and f[34:38] == struct.pack('!HH', ${port}, own)
print('answered' if answered else 'silent')`;
    return (await mustInside({ pid }, 'python3', '-c', script)) === 'answered';
  }

  test("a port of 127.0.0.1 is the host's alone, and nobody gets to a container past its ports", async () => {
    await using outside = await machine();
    await using d = await TestDaemon.start();
    const own = await box(d, 'own', 'bridge', '-p', '127.0.0.1:8080:80', '-p', '8081:80', ...serve);
    await using listening = await scriptInside(
      process.pid,
      `Bun.listen({ hostname: '127.0.0.1', port: 9999, socket: { open(s) { s.end('hello\\n'); }, data() {} } }); console.log('ready');`,
    );
    expect(listening.output()).toBe('ready\n');
    await eventually('by its port', () => greets(outside, HOST, 8081));
    expect((await run('busybox', ['nc', '-w', '1', '127.0.0.1', '8080'])).stdout).toBe('hello\n');
    expect(await greets(outside, HOST, 8080)).toBe(false);
    // Sent to the host's link with 127.0.0.1 in the packet, as its neighbours and its containers can; and for comparison to
    // an address of the host. The kernel's own check of such packets is off where route_localnet is on, as on our bridges.
    await must('sysctl', ['-qw', 'net.ipv4.conf.outside.route_localnet=1']);
    const macOf = async (link: string) => /link\/ether (\S+)/.exec(await must('ip', ['link', 'show', link]))?.[1] ?? '';
    const senders = [
      { name: 'outside', pid: String(outside.pid), source: OUTSIDE, to: await macOf('outside') },
      { name: 'a container', pid: own.pid, source: own.ip, to: await macOf(d.bridge) },
    ];
    for (const { name, pid, source, to } of senders) {
      const knock = (address: string, port: number) => knocks(pid, { to, source, address, port });
      expect([name, await knock(name === 'outside' ? HOST : `${d.subnet}.1`, 8081)]).toEqual([name, true]);
      for (const port of [8080, 9999])
        expect([name, port, await knock('127.0.0.1', port)]).toEqual([name, port, false]);
    }
    // Straight to the container's address, to the published port and to another.
    await outside.must('ip', 'route', 'add', `${own.ip}/32`, 'via', HOST);
    for (const port of [80, 81]) expect([port, await greets(outside, own.ip, port)]).toEqual([port, false]);
  });

  test('garbage and a flood of questions do not keep others from their answers', async () => {
    await using d = await TestDaemon.start();
    await d.must(['network', 'create', 'net']);
    const evil = await box(d, 'evil', 'net');
    const good = await box(d, 'good', 'net');
    await using flood = await scriptInside(
      Number(evil.pid),
      `const socket = require('node:dgram').createSocket('udp4');
       let seed = 20261122;
       const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8;
       let sent = 0;
       const query = Buffer.from('00010100000100000000000001780365787200000100 01'.replaceAll(' ', ''), 'hex');
       console.log('ready');
       const more = () => {
         for (let i = 0; i < 100; i++) {
           const bytes = sent % 2 === 0 ? Buffer.from(query) : Buffer.from(Array.from({ length: random() % 80 }, () => random() & 255));
           if (sent % 4 === 0) bytes[random() % bytes.length] = random() & 255;
           socket.send(bytes, 53, '127.0.0.11');
           if (++sent === 20000) console.log('sent');
         }
         setTimeout(more, 5);
       };
       more();`,
    );
    for (let i = 0; i < 10; i++) {
      const r = await inside(good, 'busybox', 'nslookup', 'evil', '127.0.0.11');
      expect(r.stdout).toContain(evil.ip);
    }
    // Connections that never ask anything, more than are taken.
    await using idle = await scriptInside(
      Number(evil.pid),
      `const net = require('node:net');
       let open = 0;
       for (let i = 0; i < 300; i++) {
         const socket = net.connect(53, '127.0.0.11', () => { if (++open === 50) console.log('open'); });
         socket.on('error', () => {});
         socket.on('connect', () => socket.write(Buffer.from([0xff])));
       }
       setTimeout(() => console.log('done'), 500);`,
    );
    expect(idle.output()).not.toBe('');
    expect((await inside(good, 'busybox', 'nslookup', 'evil', '127.0.0.11')).stdout).toContain(evil.ip);
    await eventually('all was sent', () => flood.output().includes('sent'), 30_000);
    expect(await d.must(['inspect', '-f', '{{.State.Running}}', 'good'])).toBe('true');
    expect(d.log).not.toContain('a question to the DNS server failed');
  });
}
