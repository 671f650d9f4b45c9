/** The registry that the daemon itself serves: `registry` in daemon.json. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

const berth = path.resolve(import.meta.dirname, '../../../berth');

test('the daemon serves a registry beside its API, also after kill -9, and ends with it', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-config-'));
  try {
    const listen = `127.0.0.1:${await freePort()}`;
    const file = path.join(directory, 'daemon.json');
    fs.writeFileSync(file, JSON.stringify({ registry: { listen } }));
    await using d = await TestDaemon.start({ args: ['--config-file', file], noBridge: true, image: false });
    const archive = `docker-archive:${(await busyboxImage()).path}`;
    await must('skopeo', ['copy', '-q', '--dest-tls-verify=false', archive, `docker://${listen}/app:1`]);
    expect(fs.existsSync(path.join(d.dataRoot, 'registry/registry.db'))).toBe(true);
    await d.kill('SIGKILL');
    await d.launch();
    const tags = await must('skopeo', ['list-tags', '--tls-verify=false', `docker://${listen}/app`]);
    expect(tags).toContain('"1"');
    await d.kill('SIGTERM');
    await expectRefused(listen);
    await d.launch();
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);

async function expectRefused(host: string): Promise<void> {
  const answer = await fetch(`http://${host}/v2/`).catch(() => undefined);
  expect(answer).toBeUndefined();
}

test('a wrong option is told by --validate, with its name', async () => {
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'berth-config-')), 'daemon.json');
  try {
    for (const [registry, message] of [
      [{ nonsense: 1 }, 'invalid value for "registry": unknown option of the registry: "nonsense"'],
      [{ listen: 'nowhere' }, 'invalid value for "listen"'],
      [{ 'read-only': 'yes' }, 'invalid value for "read-only": must be true or false'],
      [{ 'tls-cert': '/x' }, 'TLS needs "tls-cert" and "tls-key"'],
      [{ 'token-realm': 'https://x' }, 'tokens need "token-realm"'],
    ] as const) {
      fs.writeFileSync(file, JSON.stringify({ registry }));
      const told = await must('sh', ['-c', `"$0" daemon --validate --config-file "$1" 2>&1 || true`, berth, file]);
      expect(told).toContain(message);
    }
  } finally {
    fs.rmSync(path.dirname(file), { recursive: true, force: true });
  }
}, 60_000);
