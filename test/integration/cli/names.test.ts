/** The embedded DNS server of containers on networks of users, by what programs inside see. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as dgram from 'node:dgram';
import { TestDaemon } from '../../support/daemon.ts';
import { scriptInside } from '../../support/inside.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
  await d.must(['network', 'create', '--subnet', '10.214.1.0/24', 'app']);
}, 60_000);
afterAll(async () => {
  await d[Symbol.asyncDispose]();
}, 60_000);

const must = (...args: string[]) => d.must(args);
const lookUp = async (from: string, name: string) => (await d.docker(['exec', from, 'nslookup', name])).stdout;

test('names, aliases, short ids, names with their network, addresses backwards', async () => {
  const id = await must(
    'run',
    '-d',
    '--name',
    'web',
    '--network',
    'app',
    '--network-alias',
    'www',
    IMG,
    'sleep',
    '1000',
  );
  await must('run', '-d', '--name', 'asks', '--network', 'app', IMG, 'sleep', '1000');
  expect(await must('exec', 'asks', 'cat', '/etc/resolv.conf')).toContain('nameserver 127.0.0.11');
  const ip = await must('inspect', '-f', '{{.NetworkSettings.Networks.app.IPAddress}}', 'web');
  for (const name of ['web', 'WEB', 'www', id.slice(0, 12), 'web.app']) {
    expect(await lookUp('asks', name)).toContain(`Address: ${ip}`);
  }
  expect(await lookUp('asks', ip)).toContain('name = web.app');
  expect(await must('exec', 'asks', 'ping', '-c', '1', '-W', '2', 'web')).toContain('1 packets received');
  expect(await must('inspect', '-f', '{{json .NetworkSettings.Networks.app.DNSNames}}', 'web')).toBe(
    JSON.stringify(['web', 'www', id.slice(0, 12)]),
  );
});

test('a network that is asked for by its id is the same network: one endpoint, under its name, with its aliases', async () => {
  const id = await must('network', 'inspect', '-f', '{{.Id}}', 'app');
  const networks = ['-f', '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}'];
  for (const [name, network] of [
    ['whole', id],
    ['part', id.slice(0, 10)],
  ] as const) {
    await must('create', '--name', name, '--network', network, '--network-alias', `as-${name}`, IMG, 'sleep', '1000');
    expect(await must('inspect', ...networks, name)).toBe('app');
    await must('start', name);
    expect(await must('inspect', ...networks, name)).toBe('app');
    const ip = await must('inspect', '-f', '{{.NetworkSettings.Networks.app.IPAddress}}', name);
    expect(await lookUp('asks', `as-${name}`)).toContain(`Address: ${ip}`);
    expect((await d.docker(['network', 'rm', 'app'])).stderr).toContain('has active endpoints');
    expect(await must('ps', '-q', '--no-trunc', '--filter', `network=${id}`, '--filter', `name=${name}`)).not.toBe('');
  }
  await must('rm', '-f', 'whole', 'part');
});

test('a name goes with its container, comes with a rename and with a connection', async () => {
  await must('run', '-d', '--name', 'short', '--network', 'app', IMG, 'sleep', '1000');
  expect(await lookUp('asks', 'short')).toContain('Address: 10.214.1.');
  await must('rename', 'short', 'long');
  expect(await lookUp('asks', 'long')).toContain('Address: 10.214.1.');
  expect(await lookUp('asks', 'short')).not.toContain('Address: 10.214.1.');
  await must('rm', '-f', 'long');
  expect(await lookUp('asks', 'long')).not.toContain('Address: 10.214.1.');
  await must('run', '-d', '--name', 'late', IMG, 'sleep', '1000');
  await must('network', 'connect', '--alias', 'db', 'app', 'late');
  expect(await lookUp('asks', 'db')).toContain('Address: 10.214.1.');
  expect(await lookUp('late', 'web')).toContain('Address: 10.214.1.');
  await must('network', 'disconnect', 'app', 'late');
  expect(await lookUp('asks', 'db')).not.toContain('Address: 10.214.1.');
  await must('rm', '-f', 'late');
});

test('several containers of one alias: all addresses, in turns', async () => {
  for (const n of [1, 2])
    await must('run', '-d', '--name', `w${n}`, '--network', 'app', '--network-alias', 'pool', IMG, 'sleep', '1000');
  const answers = await Promise.all(Array.from({ length: 8 }, () => lookUp('asks', 'pool')));
  const firsts = answers.map((text) => /Name:\s+pool\nAddress: (\S+)/.exec(text)?.[1]);
  expect(new Set(firsts).size).toBe(2);
  await must('rm', '-f', 'w1', 'w2');
});

test('a server inside keeps port 53, and TCP is answered', async () => {
  const out = await must('exec', 'asks', 'sh', '-c', 'nc -l -p 53 & sleep 0.2; kill $! && echo free');
  expect(out).toBe('free');
  const ip = await must('inspect', '-f', '{{.NetworkSettings.Networks.app.IPAddress}}', 'web');
  const query =
    '\\000\\025\\022\\064\\001\\000\\000\\001\\000\\000\\000\\000\\000\\000\\003web\\000\\000\\001\\000\\001';
  const tcp = await must(
    'exec',
    'asks',
    'sh',
    '-c',
    `printf '${query}' | nc -w 2 127.0.0.11 53 | tail -c 4 | hexdump -e '4/1 "%d."'`,
  );
  expect(tcp).toBe(`${ip}.`);
});

test('other names are asked of the servers given; internal networks lead nowhere', async () => {
  const server = dgram.createSocket('udp4');
  server.on('message', (query, from) => {
    const answer = Buffer.concat([query, Buffer.from('c00c00010001000000050004c0000207', 'hex')]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    answer.writeUInt16BE(query.readUInt16BE(10), 10);
    if (query.readUInt16BE(query.length - 4) === 1) server.send(answer, from.port, from.address);
    else {
      const empty = Buffer.from(query);
      empty.writeUInt16BE(0x8180, 2);
      server.send(empty, from.port, from.address);
    }
  });
  await new Promise<void>((resolve) => server.bind(53, '127.0.0.213', resolve));
  try {
    const asked = await must(
      'run',
      '--rm',
      '--network',
      'app',
      '--dns',
      '127.0.0.213',
      IMG,
      'nslookup',
      'else.example',
    );
    expect(asked).toContain('Address: 192.0.2.7');
    await must('network', 'create', '--internal', 'inner');
    const inner = await d.docker([
      'run',
      '--rm',
      '--network',
      'inner',
      '--dns',
      '127.0.0.213',
      IMG,
      'nslookup',
      'else.example',
    ]);
    expect(inner.stdout).not.toContain('192.0.2.7');
    await must('network', 'rm', 'inner');
  } finally {
    server.close();
  }
});

test('names hold over a kill of the daemon', async () => {
  await d.kill();
  await d.launch();
  expect(await lookUp('asks', 'web')).toContain('Address: 10.214.1.');
});

test('garbage by UDP and TCP is not answered, and does no harm', async () => {
  const pid = Number(await must('inspect', '-f', '{{.State.Pid}}', 'asks'));
  await using noise = await scriptInside(
    pid,
    `const { randomBytes } = require('crypto');
    const udp = require('dgram').createSocket('udp4');
    let answers = 0;
    udp.on('message', () => answers++);
    for (let i = 0; i < 500; i++) udp.send(randomBytes(i % 200), 53, '127.0.0.11');
    for (let i = 0; i < 50; i++) { const s = require('net').connect(53, '127.0.0.11'); s.on('error', () => {}); s.end(randomBytes(64)); }
    setTimeout(() => console.log('answers', answers), 500);`,
  );
  expect(noise.output()).toContain('answers 0');
  expect(await lookUp('asks', 'web')).toContain('Address: 10.214.1.');
  await must('rm', '-f', 'asks', 'web');
  await must('network', 'rm', 'app');
}, 60_000);
