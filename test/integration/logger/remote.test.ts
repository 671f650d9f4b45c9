/** syslog, gelf, fluentd and journald against listeners made here, by the stock docker CLI. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as dgram from 'node:dgram';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { gunzipSync, inflateSync } from 'node:zlib';
import { driverOf } from '#logger/ship/drivers.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const SCRIPT = 'echo one; echo two >&2; echo three';

async function run(driver: string, options: Record<string, string>, script = SCRIPT, more: readonly string[] = []) {
  const flags = Object.entries(options).flatMap(([name, value]) => ['--log-opt', `${name}=${value}`]);
  const name = `ship-${crypto.randomUUID().slice(0, 8)}`;
  const args = ['run', '--name', name, '--network', 'none', '--log-driver', driver, ...flags, ...more, IMG];
  await d.must([...args, 'sh', '-c', script]);
  return name;
}

/** Collects everything that a TCP or unix listener gets. */
async function listenStream(at: { port?: number; path?: string } = {}) {
  let received = Buffer.alloc(0);
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes]);
    });
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) =>
    server.listen(at.path === undefined ? { port: at.port ?? 0, host: '127.0.0.1' } : { path: at.path }, resolve),
  );
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get text() {
      return received.toString();
    },
    get bytes() {
      return received;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function listenDatagrams() {
  const got: Buffer[] = [];
  const socket = dgram.createSocket('udp4');
  socket.on('message', (bytes) => got.push(bytes));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { got, port: socket.address().port, close: () => socket.close() };
}

describe('syslog', () => {
  test('tcp, each form', async () => {
    const listener = await listenStream();
    const address = {
      'syslog-address': `tcp://127.0.0.1:${listener.port}`,
      tag: '{{.Name}}',
      'syslog-facility': 'local0',
    };
    const forms = [
      ['', /^<134>\w{3} [ \d]\d \d\d:\d\d:\d\d ship-\w+\[\d+\]: one$/m],
      ['rfc3164', /^<134>\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ ship-\w+\[\d+\]: one$/m],
      ['rfc5424', /^<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) \S+ (ship-\w+) \d+ \2 - one$/m],
      ['rfc5424micro', /^<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d) \S+ (ship-\w+) \d+ \2 - one$/m],
    ] as const;
    let lines = 0;
    for (const [format, pattern] of forms) {
      const name = await run('syslog', { ...address, ...(format === '' ? {} : { 'syslog-format': format }) });
      lines += 3;
      const all = () => listener.text.trimEnd().split('\n');
      await eventually(`three more lines`, () => (listener.text !== '' && all().length === lines ? true : undefined));
      expect(all().slice(-3).join('\n')).toMatch(pattern);
      expect(
        all()
          .slice(-3)
          .filter((line) => line.startsWith('<131>'))
          .map((line) => line.slice(-3)),
      ).toEqual(['two']);
      expect((await d.docker(['logs', name])).stdout).toBe('one\nthree\n');
    }
    await listener.close();
  }, 30_000);

  test('udp and a unix datagram socket', async () => {
    const listener = await listenDatagrams();
    await run('syslog', { 'syslog-address': `udp://127.0.0.1:${listener.port}` });
    await eventually('three datagrams', () => (listener.got.length >= 3 ? true : undefined));
    expect(listener.got.map((b) => b.toString().replace(/^.*: /s, '')).sort()).toEqual(['one\n', 'three\n', 'two\n']);
    listener.close();
    const file = path.join(d.directory, 'log.sock');
    const got = path.join(d.directory, 'got');
    const receiver = Bun.spawn(['python3', '-c', RECEIVE, file, got, '3']);
    await eventually('bound', () => fs.existsSync(file));
    await run('syslog', { 'syslog-address': `unixgram://${file}` });
    expect(await receiver.exited).toBe(0);
    expect(fs.readFileSync(got, 'utf8')).toMatch(/: one\n(.*: two\n)?.*: three\n/s);
  }, 30_000);

  test('tls, with certificates of its own', async () => {
    const dir = path.join(d.directory, 'tls');
    fs.mkdirSync(dir);
    const made = Bun.spawnSync([
      ...['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'],
      ...[
        '-addext',
        'subjectAltName=DNS:localhost,IP:127.0.0.1',
        '-keyout',
        `${dir}/key.pem`,
        '-out',
        `${dir}/cert.pem`,
      ],
    ]);
    expect(made.exitCode).toBe(0);
    const { createServer } = await import('node:tls');
    let text = '';
    const server = createServer(
      { key: fs.readFileSync(`${dir}/key.pem`), cert: fs.readFileSync(`${dir}/cert.pem`) },
      (s) =>
        s
          .on('data', (bytes) => {
            text += bytes.toString();
          })
          .on('error', () => {}),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const options = { 'syslog-address': `tcp+tls://localhost:${port}`, 'syslog-format': 'rfc5424' };
    await run('syslog', { ...options, 'syslog-tls-ca-cert': `${dir}/cert.pem` });
    await eventually('counted frames', () =>
      ['one', 'two', 'three'].every((word) => text.includes(`- ${word}\n`)) ? true : undefined,
    );
    expect(text).toMatch(/^\d+ <(30|27)>1 /);
    const [count = '', rest = ''] = text.split(/ (.*)/s);
    expect(rest.slice(0, Number(count))).toMatch(/ - (one|two)\n$/);
    text = '';
    // A certificate that nobody vouches for gets nothing.
    const name = await run('syslog', options);
    await eventually('refused', () => /logs cannot be sent.*certificate/.test(d.log));
    expect(text).toBe('');
    expect((await d.docker(['logs', name])).stdout).toBe('one\nthree\n');
    await d.must(['rm', name]);
    server.close();
  }, 30_000);
});

const RECEIVE = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(20)
with open(sys.argv[2], 'wb') as out:
    for _ in range(int(sys.argv[3])): out.write(s.recv(1 << 20))
`;

describe('gelf', () => {
  const decode = (bytes: Buffer): Record<string, unknown> => {
    const json = bytes[0] === 0x1f ? gunzipSync(bytes) : bytes[0] === 0x78 ? inflateSync(bytes) : bytes;
    return JSON.parse(json.toString()) as Record<string, unknown>;
  };

  test.each(['gzip', 'zlib', 'none'])(
    'udp, %s, with chunks',
    async (type) => {
      const listener = await listenDatagrams();
      const options = {
        'gelf-address': `udp://127.0.0.1:${listener.port}`,
        'gelf-compression-type': type,
        labels: 'role',
      };
      const script = `${SCRIPT}; head -c 9000 /dev/urandom | base64 | tr -d '\\n'; echo`;
      const name = await run('gelf', options, script, ['--label', 'role=web']);
      const chunks = () => listener.got.filter((b) => b[0] === 0x1e && b[1] === 0x0f);
      await eventually('all chunks', () =>
        chunks().length > 1 && chunks().length === chunks()[0]?.[11] ? true : undefined,
      );
      const messages = listener.got.filter((b) => b[0] !== 0x1e).map(decode);
      const sorted = (list: unknown[][]) => list.sort((a, b) => (String(a[0]) < String(b[0]) ? -1 : 1));
      expect(sorted(messages.map((m) => [m['short_message'], m['level']]))).toEqual([
        ['one', 6],
        ['three', 6],
        ['two', 3],
      ]);
      expect(messages[0]).toMatchObject({
        version: '1.1',
        _container_name: name,
        _image_name: IMG,
        _role: 'web',
      });
      expect(String(messages[0]?.['_command'])).toStartWith('sh -c echo one');
      const ordered = chunks().sort((a, b) => (a[10] ?? 0) - (b[10] ?? 0));
      expect(ordered.every((chunk) => chunk.length <= 1420)).toBe(true);
      expect(String(decode(Buffer.concat(ordered.map((c) => c.subarray(12))))['short_message']).length).toBe(12_000);
      listener.close();
    },
    20_000,
  );

  test('tcp: a remote that comes late and goes meanwhile gets every line', async () => {
    const first = await listenStream();
    const { port } = first;
    await first.close();
    const options = { 'gelf-address': `tcp://127.0.0.1:${port}`, 'gelf-tcp-reconnect-delay': '0' };
    await run('gelf', options, 'for i in 1 2 3; do echo a$i; done');
    const second = await listenStream({ port });
    const messages = (text: string) =>
      text
        .split('\0')
        .filter((m) => m !== '')
        .map((m) => decode(Buffer.from(m))['short_message']);
    await eventually('what was kept', () => (messages(second.text).length === 3 ? true : undefined), 40_000);
    expect(messages(second.text)).toEqual(['a1', 'a2', 'a3']);
    await second.close();
  }, 60_000);
});

describe('fluentd', () => {
  test('forward messages, partial lines, answers', async () => {
    const listener = await listenStream();
    const address = `127.0.0.1:${listener.port}`;
    const script = 'echo one; head -c 20000 /dev/zero | tr "\\0" x; echo';
    const name = await run('fluentd', { 'fluentd-address': address, tag: 'my.{{.Name}}', env: 'WHO' }, script, [
      '-e',
      'WHO=me',
    ]);
    await eventually('three messages', () => (listener.text.split(`my.${name}`).length === 4 ? true : undefined));
    await Bun.sleep(0);
    const { text } = listener;
    expect(listener.bytes[0]).toBe(0x94);
    expect(text).toContain(`container_name`);
    expect(text).toContain(`/${name}`);
    expect(text.split('partial_message').length).toBe(3);
    expect(text).toMatch(/partial_ordinal.1.*partial_last.false.*partial_ordinal.2.*partial_last.true/s);
    expect(text).toContain('WHO');
    await listener.close();
  }, 20_000);
});

test('fluentd answers: a line is sent again until it was', async () => {
  const chunks: string[] = [];
  let deaf = true;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      const ids = [...bytes.toString('latin1').matchAll(/\xa5chunk\xb8(.{24})/gs)].map((match) => match[1] ?? '');
      chunks.push(...ids);
      // The first time it dies with what it has taken.
      if (deaf) socket.destroy();
      else for (const id of ids) socket.write(Buffer.from(`\x81\xa3ack\xb8${id}`, 'latin1'));
      deaf = false;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const options = {
    'fluentd-address': `127.0.0.1:${port}`,
    'fluentd-request-ack': 'true',
    'fluentd-retry-wait': '100ms',
  };
  const name = await run('fluentd', options, 'echo one; echo two');
  await eventually('both twice', () => (chunks.length === 4 ? true : undefined));
  expect(chunks.slice(2)).toEqual(chunks.slice(0, 2));
  await d.must(['rm', name]);
  server.close();
}, 20_000);

test('fluentd: a remote that takes nothing, or answers nothing, is given up at its limit and tried again', async () => {
  const tried = async (options: Record<string, string>, script: string) => {
    let connections = 0;
    const server = net.createServer({ pauseOnConnect: true }, (socket) => {
      connections += 1;
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const name = `deaf-${crypto.randomUUID().slice(0, 8)}`;
    const all = { 'fluentd-address': `127.0.0.1:${port}`, 'fluentd-retry-wait': '20ms', ...options };
    const flags = Object.entries(all).flatMap(([key, value]) => ['--log-opt', `${key}=${value}`]);
    await d.must(
      ['run', '-d', '--name', name, '--network', 'none', '--log-driver', 'fluentd', ...flags, IMG].concat(
        'sh',
        '-c',
        script,
      ),
    );
    await eventually('it is tried again', () => (connections >= 3 ? true : undefined), 20_000);
    await d.must(['rm', '-f', name]);
    server.close();
  };
  await tried({ 'fluentd-request-ack': 'true', 'fluentd-read-timeout': '100ms' }, 'echo one');
  await tried({ 'fluentd-write-timeout': '100ms' }, 'yes 0123456789 | head -c 40000000');
  const wrong = await d.docker(
    ['create', '--log-driver', 'fluentd', '--log-opt', 'fluentd-read-timeout=-1s', IMG].concat('true'),
  );
  expect(wrong.stderr).toContain('fluentd-read-timeout');
}, 60_000);

test('journald: the native protocol, lines as datagrams', async () => {
  const file = path.join(d.directory, 'journal.sock');
  const got = path.join(d.directory, 'journal.got');
  const receiver = Bun.spawn(['python3', '-c', RECEIVE, file, got, '2']);
  await eventually('bound', () => fs.existsSync(file));
  const identity = {
    ...{ containerId: 'c'.repeat(64), containerName: 'web', imageId: 'sha256:1', imageName: 'i', command: 'x' },
    ...{ createdAt: '', hostname: 'h', tag: 'my-tag', attributes: { 'com.x/role': 'front\nback' } },
  };
  const driver = driverOf({
    settings: { driver: 'journald', socket: file },
    identity,
    blocking: true,
    bufferBytesMax: 1,
  });
  const line = { stream: 2, ns: 1n, text: Buffer.from('one'), piece: { id: 'p', ordinal: 1, last: false } } as const;
  const message = driver.encode(line);
  const plain = driver.encode({ ...line, stream: 1, piece: undefined });
  if (typeof message !== 'object' || typeof plain !== 'object') throw new Error('nothing to send');
  await driver.sender.send([message, plain]);
  expect(await receiver.exited).toBe(0);
  const length = String.fromCharCode(10, 0, 0, 0, 0, 0, 0, 0);
  const fixed =
    `CONTAINER_ID=cccccccccccc\nCONTAINER_ID_FULL=${'c'.repeat(64)}\nCONTAINER_NAME=web\nCONTAINER_TAG=my-tag\n` +
    `IMAGE_NAME=i\nSYSLOG_IDENTIFIER=my-tag\nCOM_X_ROLE\n${length}front\nback\n`;
  const partial =
    'CONTAINER_PARTIAL_MESSAGE=true\nCONTAINER_PARTIAL_ID=p\nCONTAINER_PARTIAL_ORDINAL=1\nCONTAINER_PARTIAL_LAST=false\n';
  expect(fs.readFileSync(got, 'latin1')).toBe(
    `MESSAGE=one\nPRIORITY=3\n${fixed}${partial}MESSAGE=one\nPRIORITY=6\n${fixed}`,
  );
  driver.sender[Symbol.dispose]();
}, 20_000);

test('journald is refused where there is no journal', async () => {
  if (fs.existsSync('/run/systemd/journal/socket')) return;
  const { code, stderr } = await d.docker([
    'run',
    '--rm',
    '--network',
    'none',
    '--log-driver',
    'journald',
    IMG,
    'true',
  ]);
  expect(code).not.toBe(0);
  expect(stderr).toContain('failed to initialize logging driver: journald is not enabled on this host');
});

test('log options are changed while the container runs', async () => {
  const listener = await listenStream();
  const script = 'trap "echo again" USR1; echo first; while :; do sleep 0.05; done';
  const options = ['--log-driver', 'syslog', '--log-opt', `syslog-address=tcp://127.0.0.1:${listener.port}`];
  const args = ['--name', 'changed', '--network', 'none', ...options, '--log-opt', 'tag=before', IMG];
  await d.must(['run', '-d', ...args, 'sh', '-c', script]);
  await eventually('the first line', () => (/ before\[\d+\]: first\n/.test(listener.text) ? true : undefined));
  const { status } = await d.request('POST', '/containers/changed/update', { Berth: { LogOptions: { tag: 'after' } } });
  expect(status).toBe(200);
  await d.must(['kill', '-s', 'USR1', 'changed']);
  await eventually('the second line', () => (/ after\[\d+\]: again\n/.test(listener.text) ? true : undefined));
  expect(listener.text.trimEnd().split('\n').length).toBe(2);
  expect((await d.docker(['logs', 'changed'])).stdout).toBe('first\nagain\n');
  await d.must(['rm', '-f', 'changed']);
  await listener.close();
}, 30_000);

describe('nobody waits for a remote', () => {
  test('rm at once after the end, --rm too: what was written is sent all the same', async () => {
    const listener = await listenStream();
    const options = ['--log-driver', 'syslog', '--log-opt', `syslog-address=tcp://127.0.0.1:${listener.port}`];
    for (let i = 0; i < 3; i++) {
      await d.must(['run', '--rm', '--network', 'none', ...options, IMG, 'sh', '-c', `seq 1 1000; echo end${i}`]);
    }
    await eventually('all ends', () => (listener.text.match(/: end\d/g)?.length === 3 ? true : undefined));
    expect(listener.text.split('\n').length - 1).toBe(3003);
    await listener.close();
  }, 30_000);

  test('kill -9 of the daemon: every line comes, in order, a few perhaps twice', async () => {
    const listener = await listenStream();
    const options = { 'syslog-address': `tcp://127.0.0.1:${listener.port}` };
    const flags = Object.entries(options).flatMap(([n, v]) => ['--log-opt', `${n}=${v}`]);
    const script = 'i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; sleep 1000';
    await d.must([
      'run',
      '-d',
      '--name',
      'killed',
      '--network',
      'none',
      '--log-driver',
      'syslog',
      ...flags,
      IMG,
      'sh',
      '-c',
      script,
    ]);
    await d.restart();
    await d.restart();
    await eventually('the last line', () => (listener.text.includes(': 2999\n') ? true : undefined));
    const numbers = listener.text
      .trimEnd()
      .split('\n')
      .map((line) => Number(line.replace(/^.*: /, '')));
    const order: number[] = [];
    for (const n of numbers) if (n === (order.at(-1) ?? -1) + 1) order.push(n);
    expect(order.length).toBe(3000);
    await d.must(['rm', '-f', 'killed']);
    await listener.close();
  }, 30_000);
});
