/**
 * Output faster than anything that takes it: neither a remote that stands still, nor one that is not there, nor a full disk
 * makes the daemon grow, stops the container (but where `blocking` says so), or goes unseen.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { eventually, must } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
let disk = '';
beforeAll(async () => {
  disk = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-pressure-'));
  await must('mount', ['-t', 'tmpfs', '-o', 'size=96m', 'berth-pressure', disk]);
  d = await TestDaemon.start({ noBridge: true, dataRoot: path.join(disk, 'data') });
}, 60_000);
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  await must('umount', [disk]);
  fs.rmdirSync(disk);
}, 60_000);

const rssMb = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${d.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

/** Reads nothing until it is told to. */
async function standingStill() {
  let received = 0;
  const sockets: net.Socket[] = [];
  const server = net.createServer({ pauseOnConnect: true }, (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get received() {
      return received;
    },
    read: () => {
      for (const socket of sockets) {
        socket.on('data', (bytes: Buffer) => {
          received += bytes.length;
        });
        socket.resume();
      }
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

const small = ['--log-opt', 'cache-max-size=2m', '--log-opt', 'cache-max-file=4', '--log-opt', 'cache-compress=false'];

test('non-blocking: a remote that stands still stops nobody; what did not fit is counted', async () => {
  const remote = await standingStill();
  const options = ['--log-driver', 'syslog', '--log-opt', `syslog-address=tcp://127.0.0.1:${remote.port}`];
  options.push('--log-opt', 'mode=non-blocking', '--log-opt', 'max-buffer-size=1m', ...small);
  const before = rssMb();
  // 300 MB; dockerd's ring would hold the same megabyte.
  await d.must(
    [
      'run',
      '--name',
      'ring',
      '--network',
      'none',
      ...options,
      IMG,
      'sh',
      '-c',
      'yes 0123456789 | head -c 300000000; echo; echo last',
    ],
    {
      limitMs: 60_000,
    },
  );
  expect(rssMb() - before).toBeLessThan(120);
  expect((await d.docker(['logs', '-n', '1', 'ring'])).stdout).toBe('last\n');
  remote.read();
  await eventually('the loss is told', async () => ((await lostOf('ring')) > 1_000_000 ? true : undefined), 20_000);
  const events = await d.must([
    'events',
    '--since',
    '5m',
    '--until',
    '0s',
    '--filter',
    'event=log_lost',
    '--format',
    'json',
  ]);
  expect(events).toContain('"lines"');
  await d.must(['rm', '-f', 'ring']);
  remote.close();
}, 90_000);

/** A fraction of what a container writes between two looks at the lag. */
const tiny = ['--log-opt', 'cache-max-size=256k', '--log-opt', 'cache-max-file=2', '--log-opt', 'cache-compress=false'];
const roomy = ['--log-opt', 'cache-max-size=12m', '--log-opt', 'cache-max-file=4', '--log-opt', 'cache-compress=false'];

test.each([
  ['roomy', roomy, 66_000_000],
  ['tiny', tiny, 22_000_000],
])(
  'blocking, %s cache: the container waits for a slow remote and goes on with it; no line is lost',
  async (_, cache, written) => {
    const remote = await standingStill();
    const options = ['--log-driver', 'syslog', '--log-opt', `syslog-address=tcp://127.0.0.1:${remote.port}`, ...cache];
    const before = rssMb();
    await d.must([
      'run',
      '-d',
      '--name',
      'held',
      '--network',
      'none',
      ...options,
      IMG,
      'sh',
      '-c',
      `yes 0123456789 | head -c ${written}; echo last`,
    ]);
    await eventually(
      'it is held back',
      async () => {
        const one = logBytes('held');
        await Bun.sleep(200);
        return one > 200_000 && one === logBytes('held') ? true : undefined;
      },
      30_000,
    );
    expect((await d.must(['inspect', '-f', '{{.State.Status}}', 'held'])).trim()).toBe('running');
    remote.read();
    await d.must(['wait', 'held'], { limitMs: 60_000 });
    expect(rssMb() - before).toBeLessThan(120);
    const lines = written / 11 + 1;
    const eachBytes = `<30>Nov 22 20:00:00 0123456789ab[${d.pid}]: 0123456789\n`.length;
    await eventually('all of it came', () => (remote.received > (lines - 2) * eachBytes ? true : undefined), 90_000);
    expect(await d.must(['inspect', '-f', '{{.Id}}', 'held'])).not.toBe('');
    expect(await lostOf('held')).toBe(0);
    await d.must(['rm', '-f', 'held']);
    remote.close();
  },
  150_000,
);

function logBytes(name: string): number {
  const directory = path.join(d.dataRoot, 'containers');
  let bytes = 0;
  for (const id of fs.readdirSync(directory)) {
    for (const file of fs.readdirSync(path.join(directory, id))) {
      if (file.startsWith('container-cached.log')) bytes += fs.statSync(path.join(directory, id, file)).size;
    }
  }
  return name === '' ? 0 : bytes;
}

async function lostOf(name: string): Promise<number> {
  const answer = await fetch(`http://berth/containers/${name}/json`, { unix: d.socket });
  // as: our own answer.
  return ((await answer.json()) as { LogLost?: { Lines: number } }).LogLost?.Lines ?? 0;
}

test.each(['json-file', 'local'])(
  '%s on a full disk: the container goes on, the loss is counted',
  async (driver) => {
    const filler = path.join(disk, 'filler');
    const name = `full-${driver}`;
    const script = "trap 'seq 1 100000' USR1; echo ready; while :; do sleep 0.05; done";
    await d.must(['run', '-d', '--name', name, '--network', 'none', '--log-driver', driver, IMG, 'sh', '-c', script]);
    await eventually('ready', async () => ((await d.docker(['logs', name])).stdout === 'ready\n' ? true : undefined));
    await must('sh', ['-c', `dd if=/dev/zero of=${filler} bs=4k 2>/dev/null || true`]);
    try {
      await d.must(['kill', '-s', 'USR1', name]);
      await eventually('counted', async () => ((await lostOf(name)) > 0 ? true : undefined), 20_000);
    } finally {
      fs.rmSync(filler);
    }
    expect((await d.must(['inspect', '-f', '{{.State.Status}}', name])).trim()).toBe('running');
    await d.must(['rm', '-f', name]);
  },
  60_000,
);
