/** `builder.gc`: the cache is brought into its bounds by itself once builds have ended; entitlements; name servers. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const LIMIT_MS = 120_000;
let daemon: TestDaemon;

beforeAll(async () => {
  daemon = await TestDaemon.start({ noBridge: true });
}, LIMIT_MS);
afterAll(() => daemon[Symbol.asyncDispose](), LIMIT_MS);

async function configure(config: Record<string, unknown>, label: string): Promise<void> {
  fs.writeFileSync(path.join(daemon.directory, 'daemon.json'), JSON.stringify({ ...config, labels: [`is=${label}`] }));
  process.kill(daemon.pid, 'SIGHUP');
  const now = async () => (await daemon.must(['info', '-f', '{{.Labels}}'])) === `[is=${label}]`;
  await eventually('the configuration is in force', now, 20_000);
}

const cached = async (): Promise<string[]> => {
  const { body } = await daemon.request('GET', '/system/df?type=build-cache');
  return (body as { BuildCache: { Description: string }[] }).BuildCache.map(({ Description }) => Description);
};

test(
  'over the bounds what was used least recently goes, in the order of the rules',
  async () => {
    using directory = new BuildDirectory('');
    const build = async (name: string): Promise<void> => {
      directory.write('Dockerfile', `FROM ${BASE}\nRUN head -c 3000000 /dev/urandom > /${name}\n`);
      const { code, stderr } = await daemon.berth(['build', '--network=none', '-q', directory.path], {
        limitMs: LIMIT_MS,
      });
      expect([code, stderr]).toEqual([0, '']);
      // Without an image the result belongs to the cache alone.
      await daemon.must(['image', 'prune', '-f']);
    };
    await configure({ builder: { gc: { enabled: false } } }, 'off');
    for (const name of ['one', 'two', 'three']) await build(name);
    const steps = async () => (await cached()).filter((text) => text.includes('urandom'));
    expect(await steps()).toHaveLength(3);

    const keep = { filter: ['type=regular'], keepStorage: '4MB', all: true };
    await configure({ builder: { gc: { policy: [{ filter: ['description=/two'] }, keep] } } }, 'on');
    await build('four');
    await eventually('the cache is small', async () => (await steps()).length === 1, 60_000);
    expect((await steps())[0]).toContain('/four');
    expect(daemon.log).toContain('the build cache was brought into its bounds');
  },
  LIMIT_MS,
);

test(
  'an entitlement that the configuration refuses is not granted',
  async () => {
    using directory = new BuildDirectory(`FROM ${BASE}\nRUN true\n`);
    await configure({ builder: { entitlements: { 'security-insecure': false } } }, 'strict');
    const refused = await daemon.berth(['build', '--allow', 'security.insecure', directory.path]);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(
      'granting entitlement security.insecure is not allowed by build daemon configuration',
    );
  },
  LIMIT_MS,
);

test(
  'resolv-conf: name servers come from the file that it names',
  async () => {
    const file = path.join(daemon.directory, 'resolv.conf');
    fs.writeFileSync(file, 'nameserver 127.0.0.1\nnameserver 192.0.2.53\nsearch corp.test\noptions timeout:3\n');
    fs.writeFileSync(path.join(daemon.directory, 'daemon.json'), JSON.stringify({ 'resolv-conf': file }));
    await daemon.restart('SIGTERM');
    const read = (network: string) =>
      daemon.must(['run', '--rm', '--network', network, BASE, 'cat', '/etc/resolv.conf']);
    const inside = await read('none');
    expect(inside.split('\n').filter((line) => !line.startsWith('#'))).toEqual([
      'nameserver 192.0.2.53',
      'search corp.test',
      'options timeout:3',
    ]);
    expect(await read('host')).toContain('nameserver 127.0.0.1\nnameserver 192.0.2.53\n');
  },
  LIMIT_MS,
);
