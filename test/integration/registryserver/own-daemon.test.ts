/** Our daemon and our registry: push, pull, and a cache as the mirror of Docker Hub that goes on without a network. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

const IMG = 'berth.test/busybox:1';

test('docker on our daemon: push, remove, pull; id and digest stay, the container runs', async () => {
  await using registry = await RegistryProcess.start();
  await using d = await TestDaemon.start({ noBridge: true });
  const image = `${registry.host}/team/app:1`;
  const id = await d.must(['image', 'inspect', '-f', '{{.Id}}', IMG]);
  await d.must(['tag', IMG, image]);
  const digest = /digest: (sha256:[0-9a-f]{64})/.exec(await d.must(['push', image]))?.[1] ?? '';
  await d.must(['rmi', image, IMG]);
  expect(await d.must(['pull', image])).toContain(`Digest: ${digest}`);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', image])).toBe(id);
  expect(await d.must(['run', '--rm', '--network', 'none', image, 'echo', 'works'])).toBe('works');
}, 60_000);

test('a cache as registry mirror: the first pull fills it, the next needs no upstream', async () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-mirror-'));
  try {
    await using upstream = await RegistryProcess.start();
    const archive = `docker-archive:${(await busyboxImage()).path}`;
    const target = `docker://${upstream.host}/library/app:1`;
    await must('skopeo', ['copy', '-q', '--dest-tls-verify=false', archive, target]);
    await using cache = await RegistryProcess.start(['--proxy', upstream.url, '--proxy-fresh', '0s']);
    const file = path.join(directory, 'daemon.json');
    fs.writeFileSync(file, JSON.stringify({ 'registry-mirrors': [cache.url] }));
    await using d = await TestDaemon.start({ args: ['--config-file', file], noBridge: true, image: false });
    await d.must(['pull', '-q', 'app:1']);
    const id = await d.must(['image', 'inspect', '-f', '{{.Id}}', 'app:1']);
    await d.must(['rmi', 'app:1']);
    await upstream.ended('SIGTERM');
    await d.must(['pull', '-q', 'app:1']);
    expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', 'app:1'])).toBe(id);
    expect(cache.log).toContain('a stale tag is served');
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}, 60_000);
