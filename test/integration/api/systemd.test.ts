/** berthd under a service manager: readiness, watchdog, the end, and a socket that was there before it. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { must } from '#sys/call.ts';
import { close, setNonBlocking } from '#sys/files.ts';
import { NR, SOCKET } from '#sys/numbers.ts';
import { recv, socket, unixListen } from '#sys/sockets.ts';
import { eventually } from '../../support/command.ts';
import { BERTHD } from '../../support/daemon.ts';

/** A datagram socket that collects what is sent to it. */
function notifySocket(file: string): { readonly messages: () => string[]; readonly [Symbol.dispose]: () => void } {
  const fd = socket(SOCKET.AF_UNIX, SOCKET.DGRAM);
  const address = Buffer.concat([Buffer.from([SOCKET.AF_UNIX, 0]), Buffer.from(`${file}\0`)]);
  must('bind', NR.bind, fd, address, address.length);
  setNonBlocking(fd);
  const messages: string[] = [];
  const buffer = new Uint8Array(4096);
  return {
    messages: () => {
      for (let n = recv(fd, buffer); n !== undefined; n = recv(fd, buffer)) {
        messages.push(Buffer.from(buffer.subarray(0, n)).toString());
      }
      return messages;
    },
    [Symbol.dispose]: () => close(fd),
  };
}

test('notifies, feeds the watchdog, serves the socket it was given, says that it stops, leaves the socket', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-systemd-'));
  const api = path.join(folder, 'api.sock');
  const listener = unixListen(api);
  try {
    using notified = notifySocket(path.join(folder, 'notify'));
    fs.writeFileSync(path.join(folder, 'daemon.json'), '{}');
    const flags = ['--data-root', `${folder}/data`, '--exec-root', `${folder}/exec`, '--bridge', 'none', '-H', 'fd://'];
    const command = [...BERTHD, ...flags, '--config-file', `${folder}/daemon.json`];
    // LISTEN_PID has to be the daemon's own: the shell becomes it.
    const child = Bun.spawn(['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...command], {
      env: { ...process.env, NOTIFY_SOCKET: `${folder}/notify`, WATCHDOG_USEC: '200000', LISTEN_FDS: '1' },
      stdio: ['ignore', 'ignore', 'inherit', listener],
    });
    await eventually('it is ready', () => notified.messages().includes('READY=1'), 20_000);
    expect(await (await fetch('http://x/_ping', { unix: api })).text()).toBe('OK');
    const beats = () => notified.messages().filter((m) => m === 'WATCHDOG=1').length;
    await eventually('the watchdog is fed', () => beats() >= 3, 5000);
    expect(fs.readFileSync(`${folder}/exec/berthd.pid`, 'utf8')).toBe(String(child.pid));
    child.kill('SIGTERM');
    expect(await child.exited).toBe(0);
    expect(notified.messages().at(-1)).toBe('STOPPING=1');
    expect(fs.existsSync(`${folder}/exec/berthd.pid`)).toBe(false);
    // systemd keeps it for the next start.
    expect(fs.existsSync(api)).toBe(true);
  } finally {
    close(listener);
    fs.rmSync(folder, { recursive: true });
  }
}, 60_000);
