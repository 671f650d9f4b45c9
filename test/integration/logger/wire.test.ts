/**
 * What listeners get from us and from Debian's dockerd for the same container: equal after ids, times and process numbers
 * are replaced. Streams are compared each for itself: their order among each other is nobody's to promise.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as dgram from 'node:dgram';
import * as net from 'node:net';
import { gunzipSync } from 'node:zlib';
import { busyboxImage } from '../../support/base-images.ts';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Dockerd } from '../../support/dockerd.ts';

const IMG = 'berth.test/busybox:1';
let ours: TestDaemon;
let theirs: Dockerd;
beforeAll(async () => {
  ours = await TestDaemon.start({ noBridge: true });
  theirs = await Dockerd.start();
  const loaded = await theirs.docker(['load', '-q', '-i', (await busyboxImage()).path]);
  expect(loaded.code).toBe(0);
}, 120_000);
afterAll(async () => {
  await theirs?.[Symbol.asyncDispose]();
  await ours?.[Symbol.asyncDispose]();
}, 60_000);

/** Lines, an empty one, one of more than a piece, an end without a newline. */
const SCRIPT = 'echo one; echo; echo "  two  <&>"; head -c 20000 /dev/zero | tr "\\0" x; echo; printf end';

interface Listener {
  readonly port: number;
  readonly received: () => Buffer[];
  readonly close: () => void;
}

async function stream(): Promise<Listener> {
  const got: Buffer[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (bytes: Buffer) => got.push(bytes)).on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    received: () => [Buffer.concat(got)],
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function datagrams(): Promise<Listener> {
  const got: Buffer[] = [];
  const socket = dgram.createSocket('udp4');
  socket.on('message', (bytes) => got.push(bytes));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return { port: socket.address().port, received: () => got, close: () => socket.close() };
}

/** The same container on both; what a listener got of each, when it has `end`. */
async function both(listen: () => Promise<Listener>, driver: string, options: (port: number) => string[]) {
  const results: Buffer[][] = [];
  for (const peer of [ours, theirs]) {
    const listener = await listen();
    const flags = options(listener.port).flatMap((option) => ['--log-opt', option]);
    const args = ['--name', 'wired', '--network', 'none', '--hostname', 'h', '-e', 'WHO=me', '--label', 'role=web'];
    const run = await peer.docker(['run', '--rm', ...args, '--log-driver', driver, ...flags, IMG, 'sh', '-c', SCRIPT]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const all = () => listener.received().map((bytes) => (bytes[0] === 0x1f ? gunzipSync(bytes) : bytes));
    await eventually('the end', () => (all().some((bytes) => bytes.includes('end')) ? true : undefined));
    results.push(all());
    listener.close();
  }
  return results;
}

const common = (text: string) =>
  text
    .replaceAll(/\b[0-9a-f]{64}\b/g, 'ID64')
    .replaceAll(/\b[0-9a-f]{12}\b/g, 'ID12')
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, 'TIME')
    .replaceAll(/[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d/g, 'STAMP')
    .replaceAll(/\[\d+\]/g, '[PID]')
    .replaceAll(/(ID12|wired|docker\/\S*) \d+ /g, '$1 PID ');

test.each(['', 'rfc3164', 'rfc5424', 'rfc5424micro'])(
  'syslog %s',
  async (format) => {
    const results = await both(stream, 'syslog', (port) => [
      `syslog-address=tcp://127.0.0.1:${port}`,
      ...(format === '' ? [] : [`syslog-format=${format}`]),
      'syslog-facility=local3',
      'tag={{.DaemonName}}/{{.ImageName}}/{{.Name}}/{{.ID}}',
    ]);
    const [our, their] = results.map((got) => common(Buffer.concat(got).toString()));
    expect(our).toBe(their ?? '');
  },
  60_000,
);

test('syslog by datagrams', async () => {
  const results = await both(datagrams, 'syslog', (port) => [`syslog-address=udp://127.0.0.1:${port}`]);
  const [our, their] = results.map((got) => got.map((bytes) => common(bytes.toString())));
  expect(our).toEqual(their ?? []);
}, 60_000);

test.each(['udp', 'tcp'])(
  'gelf by %s',
  async (kind) => {
    const results = await both(kind === 'udp' ? datagrams : stream, 'gelf', (port) => [
      `gelf-address=${kind}://127.0.0.1:${port}`,
      ...['env=WHO', 'labels=role', 'tag=t'],
    ]);
    const [our, their] = results.map((got) =>
      got
        .flatMap((bytes) => bytes.toString().split('\0'))
        .filter((text) => text !== '')
        .map((text) => {
          // as: GELF messages are objects.
          const message = JSON.parse(text) as Record<string, unknown>;
          return {
            ...message,
            timestamp: typeof message['timestamp'],
            _created: typeof message['_created'],
            _container_id: '',
          };
        }),
    );
    expect(our).toEqual(their ?? []);
  },
  60_000,
);

test.each(['false', 'true'])(
  'fluentd, sub-second-precision=%s',
  async (precision) => {
    const results = await both(stream, 'fluentd', (port) => [
      `fluentd-address=127.0.0.1:${port}`,
      `fluentd-sub-second-precision=${precision}`,
      ...['env=WHO', 'labels=role', 'tag=my.{{.Name}}'],
    ]);
    const decoded: unknown[] = [];
    for (const got of results) {
      const text = await must('python3', ['-c', UNPACK, Buffer.concat(got).toString('base64')]);
      decoded.push(JSON.parse(text));
    }
    expect(decoded[0]).toEqual(decoded[1]);
  },
  60_000,
);

/** A decoder of MessagePack that has nothing of ours. Maps by their keys, times by their kind, ids replaced. */
const UNPACK = `
import base64, json, re, struct, sys
b = base64.b64decode(sys.argv[1]); at = 0
def take(n):
    global at
    at += n
    return b[at - n:at]
def text(n): return re.sub('^[0-9a-f]{64}$', 'ID', take(n).decode('utf8', 'replace'))
def one():
    t = take(1)[0]
    if t < 0x80: return t
    if t < 0x90: return {one(): one() for _ in range(t & 15)}
    if t < 0xa0: return [one() for _ in range(t & 15)]
    if t < 0xc0: return text(t & 31)
    if t == 0xc0: return None
    if t in (0xc2, 0xc3): return t == 0xc3
    if t == 0xd9: return text(take(1)[0])
    if t == 0xda: return text(struct.unpack('>H', take(2))[0])
    if t == 0xdb: return text(struct.unpack('>I', take(4))[0])
    if t in (0xce, 0xd2): take(4); return 'seconds'
    if t in (0xcf, 0xd3): take(8); return 'seconds'
    if t == 0xd7: return 'event time of type %d' % take(9)[0]
    if t == 0xc7: n = take(1)[0]; kind = take(1)[0]; take(n); return 'event time of type %d' % kind
    if t == 0xde: return {one(): one() for _ in range(struct.unpack('>H', take(2))[0])}
    raise ValueError(hex(t))
out = []
while at < len(b): out.append(one())
print(json.dumps(out))
`;
