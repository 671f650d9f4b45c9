/** The listeners on real sockets: who may connect, what is left behind, half-close, TLS, sockets of systemd. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { containerAttach, containerLogs } from '#api/jobs/container.ts';
import { ApiServer } from '#api/server/server.ts';
import { type Listeners, openListeners } from '#cmd/berthd-listeners.ts';
import { chooseInherited, takeInheritedSockets } from '#cmd/berthd-systemd.ts';
import type { DaemonConfig } from '#config/daemon-config.ts';
import { Engine } from '#engine/engine.ts';
import { messageOf } from '#errdefs/errors.ts';
import { close } from '#sys/files.ts';
import { unixListen } from '#sys/sockets.ts';

const NO_TLS: DaemonConfig['tls'] = { mode: 'none', caCert: '', cert: '', key: '' };

let folder = '';
let engine = new Engine();
let server = new ApiServer({ engine, version: 'test' });
let open: Listeners[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-api-'));
  engine = new Engine();
  server = new ApiServer({ engine, version: 'test' });
});

afterEach(() => {
  for (const listeners of open) listeners[Symbol.dispose]();
  open = [];
  server.terminate();
  rmSync(folder, { recursive: true });
});

async function listen(hosts: DaemonConfig['hosts'], extra: Partial<DaemonConfig> = {}): Promise<Listeners> {
  const config = { hosts, group: undefined, tls: NO_TLS, ...extra };
  const listeners = await openListeners(config, server.accept, []);
  open.push(listeners);
  return listeners;
}

const socketPath = () => join(folder, 'b.sock');
const listenUnix = (extra: Partial<DaemonConfig> = {}) => listen([{ kind: 'unix', path: socketPath() }], extra);

async function refusal(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
  } catch (error) {
    return messageOf(error);
  }
  throw new Error('was not refused');
}

/** Sends the text, half-closes when told, and gives everything that comes until the server ends. */
function talk(socket: net.Socket, text: string, halfClose = true): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = '';
    socket.on('data', (bytes: Buffer) => (received += bytes.toString('latin1')));
    socket.on('end', () => {
      socket.end();
      resolve(received);
    });
    socket.on('error', reject);
    if (halfClose) socket.end(text);
    else socket.write(text);
  });
}

const PING = 'GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n';

describe('unix sockets', () => {
  test('have mode 0660 and root, and nothing stays behind', async () => {
    await listenUnix();
    const status = statSync(socketPath());
    expect((status.mode & 0o777).toString(8)).toBe('660');
    expect(readdirSync(folder)).toEqual(['b.sock']);
    open.pop()?.[Symbol.dispose]();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('a group is given by name or number, one that is not there is refused', async () => {
    await listenUnix({ group: '7' });
    expect(statSync(socketPath()).gid).toBe(7);
    open.pop()?.[Symbol.dispose]();
    expect(await refusal(() => listenUnix({ group: 'no-such-group' }))).toContain('group no-such-group not found');
  });

  test('a half-closed client is answered, a second daemon is refused, a stale socket is replaced', async () => {
    await listenUnix();
    expect(await talk(net.connect({ path: socketPath(), allowHalfOpen: true }), PING + PING)).toMatch(/OKHTTP.*OK$/s);
    expect(await refusal(() => listenUnix())).toContain(`process ${process.pid} listens there`);
    open.pop()?.[Symbol.dispose]();
    close(unixListen(socketPath()));
    await listenUnix();
    expect(await talk(net.connect({ path: socketPath(), allowHalfOpen: true }), PING)).toEndWith('OK');
  });

  test('a file in its place is not removed', async () => {
    writeFileSync(socketPath(), 'mine');
    expect(await refusal(() => listenUnix())).toContain('something else than a socket');
    expect(readdirSync(folder)).toEqual(['b.sock']);
  });

  test('the record of a job has who asked', async () => {
    await listenUnix();
    engine.register(containerAttach, (input) => input.connection.accept(true));
    const request = 'POST /containers/x/attach HTTP/1.1\r\nHost: d\r\nUser-Agent: me\r\n\r\n';
    await talk(net.connect({ path: socketPath() }), request, false);
    expect(engine.list()[0]?.caller).toMatchObject({ uid: 0, pid: process.pid, userAgent: 'me', source: 'api' });
  });

  test('a hijacked connection has a descriptor, bytes both ways and half-close', async () => {
    await listenUnix();
    let descriptor = -1;
    engine.register(containerAttach, async ({ connection }) => {
      connection.accept(true);
      descriptor = await connection.descriptor();
      let bytes = 0;
      for await (const part of connection.input) bytes += part.length;
      await connection.write(Buffer.from(`got ${bytes}`));
    });
    const request = 'POST /containers/x/attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n';
    const socket = net.connect({ path: socketPath(), allowHalfOpen: true });
    const received = await talk(socket, request + 'x'.repeat(1_000_000));
    expect(received).toStartWith('HTTP/1.1 101 UPGRADED\r\n');
    expect(received).toEndWith('got 1000000');
    expect(descriptor).toBeGreaterThan(2);
  });

  test('clients that stop reading hold their producers, and others go on', async () => {
    await listenUnix();
    let written = 0;
    engine.register(containerLogs, async (input, { signal }) => {
      const output = input.open(false);
      while (!signal.aborted) {
        await output.write(Buffer.alloc(65536));
        written += 65536;
      }
    });
    const stalled = Array.from({ length: 10 }, () => {
      const socket = net.connect({ path: socketPath() });
      socket.pause();
      socket.write('GET /containers/x/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n');
      return socket;
    });
    let before = -1;
    const deadline = Date.now() + 5000;
    while (before !== written && Date.now() < deadline) {
      before = written;
      await Bun.sleep(100);
    }
    expect(written).toBeLessThan(10 * 1_500_000);
    expect(await talk(net.connect({ path: socketPath(), allowHalfOpen: true }), PING)).toEndWith('OK');
    for (const socket of stalled) socket.destroy();
    const gone = Date.now() + 5000;
    while (engine.list().some((job) => job.status === 'running') && Date.now() < gone) await Bun.sleep(10);
    expect(engine.list().filter((job) => job.status === 'running')).toEqual([]);
  });
});

describe('TCP', () => {
  test('plain, on loopback', async () => {
    const { addresses } = await listen([{ kind: 'tcp', hostname: '127.0.0.1', port: 0, tls: false }]);
    const port = Number(addresses[0]?.split(':').at(-1));
    expect(await talk(net.connect({ host: '127.0.0.1', port, allowHalfOpen: true }), PING)).toEndWith('OK');
  });

  test('with TLS only those whose certificate our authority signed', async () => {
    const files = certificates(folder);
    const { addresses } = await listen([{ kind: 'tcp', hostname: '127.0.0.1', port: 0, tls: true }], {
      tls: { mode: 'mutual', caCert: files.ca, cert: files.cert, key: files.key },
    });
    const port = Number(addresses[0]?.split(':').at(-1));
    const ca = await Bun.file(files.ca).text();
    const own = { cert: await Bun.file(files.cert).text(), key: await Bun.file(files.key).text() };
    const close = 'GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n';
    const known = tls.connect({ host: '127.0.0.1', port, ca, ...own, checkServerIdentity: () => undefined });
    expect(await talk(known, close, false)).toEndWith('OK');
    const unknown = tls.connect({ host: '127.0.0.1', port, ca, checkServerIdentity: () => undefined });
    const answer = await talk(unknown, close, false).catch(() => '');
    expect(answer).toBe('');
  });
});

describe('sockets of systemd', () => {
  test('are taken by name or number, and only by the process they are for', () => {
    const environment = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'api' };
    expect(takeInheritedSockets(environment)).toEqual([]);
    expect(Object.keys(environment)).toEqual([]);
    const sockets = [
      { fd: 3, name: 'api' },
      { fd: 4, name: 'other' },
    ];
    expect(chooseInherited(sockets, '').length).toBe(2);
    expect(chooseInherited(sockets, 'other')).toEqual([{ fd: 4, name: 'other' }]);
    expect(chooseInherited(sockets, '3')).toEqual([{ fd: 3, name: 'api' }]);
    expect(() => chooseInherited(sockets, 'none')).toThrow('no socket "none" found via socket activation');
    expect(() => chooseInherited([], '')).toThrow('no sockets found via socket activation');
  });

  test('one that was bound before is served, with who asks and a descriptor', async () => {
    const fd = unixListen(socketPath());
    const listeners = await openListeners(
      { hosts: [{ kind: 'fd', name: '' }], group: undefined, tls: NO_TLS },
      server.accept,
      [{ fd, name: '' }],
    );
    open.push(listeners);
    let descriptor = -1;
    engine.register(containerAttach, async ({ connection }) => {
      connection.accept(true);
      descriptor = await connection.descriptor();
      for await (const part of connection.input) await connection.write(part);
    });
    const request = 'POST /containers/x/attach HTTP/1.1\r\nHost: d\r\n\r\n';
    const socket = net.connect({ path: socketPath(), allowHalfOpen: true });
    expect(await talk(socket, `${request}echo`)).toEndWith('\r\n\r\necho');
    expect(descriptor).toBeGreaterThan(2);
    expect(engine.list()[0]?.caller.pid).toBe(process.pid);
  });
});

/** An authority that signs its own certificate is enough for both sides. */
function certificates(folder: string): { ca: string; cert: string; key: string } {
  const key = join(folder, 'key.pem');
  const cert = join(folder, 'cert.pem');
  const subject = ['-subj', '/CN=berth-test', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const result = Bun.spawnSync(
    [
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '1',
      '-keyout',
      key,
      '-out',
      cert,
      ...subject,
    ],
    { stderr: 'pipe' },
  );
  if (result.exitCode !== 0) throw new Error(result.stderr.toString());
  chmodSync(key, 0o600);
  return { ca: cert, cert, key };
}
