/**
 * `images: keep-blobs` off: archives of layers that a registry has as well go, the images stay and work; whoever needs
 * an archive again has it fetched, with the digest that it had. What no registry has is kept.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../../support/base-images.ts';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const BIG = 3_000_000;
let d: TestDaemon;
let registry: TestRegistry;
beforeAll(async () => {
  registry = await TestRegistry.start();
  d = await TestDaemon.start({ noBridge: true });
  fs.writeFileSync(path.join(d.directory, 'daemon.json'), JSON.stringify({ images: { 'keep-blobs': false } }));
  await d.restart('SIGTERM');
}, 60_000);
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
}, 60_000);

const blobs = (): string => path.join(d.dataRoot, 'content/blobs/sha256');

/** Archives of layers: everything else is small. */
const archives = (): string[] =>
  fs
    .readdirSync(blobs())
    .filter((name) => (fs.statSync(path.join(blobs(), name), { throwIfNoEntry: false })?.size ?? 0) > 20_000);

test('archives go and come again; images stay', async () => {
  const kept = archives();
  const name = `${registry.host}/team/app:1`;
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)));
  const content = Buffer.concat(Array.from({ length: BIG / random.length }, () => random));
  const layers = [tar(busyboxEntries(['sh', 'wc', 'echo'])), tar([{ name: 'big', type: '0', mode: 0o644, content }])];
  const archive = writeArchive(`keep-blobs-${process.pid}.tar`, { reference: name, layers });
  const push = ['copy', '-q', '--insecure-policy', '--dest-tls-verify=false', `docker-archive:${archive.path}`];
  await must('skopeo', [...push, `docker://${name}`]);
  fs.rmSync(archive.path);
  const digest = await must('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${name}`]);
  const gone = (): Promise<unknown> =>
    eventually('the archives are gone', () => archives().every((file) => kept.includes(file)), 20_000);

  await d.must(['pull', '-q', name]);
  await gone();
  await d.restart();
  const count = ['run', '--rm', '--network', 'none', name, 'sh', '-c', 'wc -c < /big'];
  expect(await d.must(count)).toBe(String(BIG));
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', name])).toBe(archive.id);

  const file = path.join(d.directory, 'saved.tar');
  await d.must(['save', '-o', file, name]);
  await d.must(['tag', name, 'kept.example/other:1']);
  await d.must(['rmi', name]);
  await d.must(['load', '-q', '-i', file]);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', name])).toBe(archive.id);

  // To the same registry nothing has to come; to another everything, and the digest stays.
  await d.must(['tag', name, `${registry.host}/again/app:1`]);
  expect(await d.must(['push', `${registry.host}/again/app:1`])).toContain(`digest: ${digest}`);
  await using other = await TestRegistry.start();
  await d.must(['tag', name, `${other.host}/app:1`]);
  expect(await d.must(['push', `${other.host}/app:1`])).toContain(`digest: ${digest}`);
  await gone();

  // A build on top of it, whose own layer nobody else has.
  const context = fs.mkdtempSync(path.join(d.directory, 'context-'));
  fs.writeFileSync(path.join(context, 'Dockerfile'), `FROM ${name}\nRUN sh -c "wc -c < /big > /count"\n`);
  const classic = { env: { DOCKER_BUILDKIT: '0' } };
  await d.must(['build', '-q', '--network', 'none', '-t', 'built.example/app:1', context], classic);
  await d.must(['save', '-o', file, 'built.example/app:1']);
  await gone();
  const run = ['run', '--rm', '--network', 'none', 'built.example/app:1', 'sh', '-c', 'wc -c < /count'];
  expect(await d.must(run)).toBe('8');
}, 120_000);

test('what only a registry with a password has, or none any more, is made of the files again', async () => {
  const user = { name: 'ann', password: 'secret' };
  const own = await TestRegistry.start({ user });
  const name = `${own.host}/team/own:1`;
  const archive = writeArchive(`keep-blobs-${process.pid}.tar`, {
    reference: name,
    layers: [
      tar(busyboxEntries(['sh', 'echo', 'wc'])),
      tar([{ name: 'own', type: '0', mode: 0o644, content: Buffer.alloc(200_000, name) }]),
    ],
  });
  const push = ['copy', '-q', '--insecure-policy', '--dest-tls-verify=false', '--dest-creds', 'ann:secret'];
  await must('skopeo', [...push, `docker-archive:${archive.path}`, `docker://${name}`]);
  fs.rmSync(archive.path);
  const before = new Set(archives());
  await d.must(['login', '-u', user.name, '-p', user.password, own.host]);
  await d.must(['pull', '-q', name]);
  const gone = (): Promise<unknown> =>
    eventually('its archives are gone', () => archives().every((file) => before.has(file)), 20_000);
  await gone();
  // `save` has no password to ask the registry with.
  const file = path.join(d.directory, 'own.tar');
  await d.must(['save', '-o', file, name]);
  await gone();
  await own[Symbol.asyncDispose]();
  await d.must(['save', '-o', file, name]);
  const listed = await must('tar', ['-xOf', file, 'manifest.json']);
  // as: what docker-archive says of its first image, and an image's configuration.
  const [{ Config, Layers }] = JSON.parse(listed) as [{ Config: string; Layers: string[] }];
  expect(Config).toBe(`blobs/sha256/${archive.id.slice('sha256:'.length)}`);
  const { rootfs } = JSON.parse(await must('tar', ['-xOf', file, Config])) as { rootfs: { diff_ids: string[] } };
  expect(Layers).toEqual(rootfs.diff_ids.map((id) => `blobs/sha256/${id.slice('sha256:'.length)}`));
  expect((await must('skopeo', ['inspect', '--config', `docker-archive:${file}`])).length).toBeGreaterThan(0);
  await using other = await TestRegistry.start();
  await d.must(['tag', name, `${other.host}/own:1`]);
  await d.must(['push', '-q', `${other.host}/own:1`]);
  await gone();
  await d.must(['rmi', name, `${other.host}/own:1`]);
  await d.must(['load', '-q', '-i', file]);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', name])).toBe(archive.id);
  await d.must(['rmi', name]);
  await d.must(['pull', '-q', `${other.host}/own:1`]);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', `${other.host}/own:1`])).toBe(archive.id);
}, 120_000);

test('an archive that nobody has any more is told; one that no registry ever had is kept', async () => {
  // Unpacked before archives were let go: nothing but its files is known of it.
  const known = 'berth.test/busybox:1';
  await d.must(['save', '-o', path.join(d.directory, 'kept.tar'), known]);
  const lonely = await TestRegistry.start();
  const name = `${lonely.host}/app:1`;
  await d.must(['tag', known, name]);
  await d.must(['push', '-q', name]);
  await eventually('its archive is gone', () => archives().length === 0, 20_000);
  await lonely[Symbol.asyncDispose]();
  const { code, stderr } = await d.docker(['save', '-o', path.join(d.directory, 'lost.tar'), name]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/the archive of layer sha256:[0-9a-f]{64} is not kept here and cannot be fetched again: 127/);
  expect(await d.must(['run', '--rm', '--network', 'none', name, 'echo', 'still here'])).toBe('still here');
}, 60_000);
