/** `docker load`, `save`, `import`, `images`, `tag`, `rmi`, `history`. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../../support/base-images.ts';
import { must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

test('load → save keeps the image id; skopeo reads what we save', async () => {
  const id = await d.must(['image', 'inspect', '-f', '{{.Id}}', IMG]);
  const saved = path.join(d.directory, 'saved.tar');
  await d.must(['save', '-o', saved, IMG]);
  await d.must(['rmi', IMG]);
  expect(await d.must(['images', '-q'])).toBe('');
  expect(await d.must(['load', '-i', saved])).toBe(`Loaded image: ${IMG}`);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', IMG])).toBe(id);
  const inspected = await must('skopeo', ['inspect', '--config', `docker-archive:${saved}`]);
  expect(new Bun.CryptoHasher('sha256').update(inspected).digest('hex').length).toBe(64);
  const oci = path.join(d.directory, 'oci');
  await must('skopeo', ['copy', '-q', '--insecure-policy', `docker-archive:${saved}`, `oci:${oci}:again`]);
  const layout = path.join(d.directory, 'oci.tar');
  await must('tar', ['-C', oci, '-cf', layout, '.']);
  expect(await d.must(['load', '-i', layout])).toContain('Loaded image');
});

test('gzip and zstd archives load', async () => {
  const plain = fs.readFileSync(path.join(d.directory, 'saved.tar'));
  for (const [name, bytes] of [
    ['a.tar.gz', Bun.gzipSync(plain)],
    ['a.tar.zst', Bun.zstdCompressSync(plain)],
  ] as const) {
    const file = path.join(d.directory, name);
    fs.writeFileSync(file, bytes);
    expect(await d.must(['load', '-i', file])).toBe(`Loaded image: ${IMG}`);
  }
});

test('import makes an image that runs, with its changes', async () => {
  const rootfs = tar(busyboxEntries(['sh', 'echo', 'id']));
  const r = await d.docker(
    ['import', '-c', 'CMD ["echo","imported"]', '-c', 'USER 1000', '-m', 'by hand', '-', 'berth.test/imported:1'],
    { input: rootfs },
  );
  expect(r.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
  expect(await d.must(['run', '--rm', '--network', 'none', 'berth.test/imported:1'])).toBe('imported');
  expect(await d.must(['history', '--format', '{{.Comment}}', 'berth.test/imported:1'])).toBe('by hand');
  expect(await d.must(['image', 'inspect', '-f', '{{.Config.User}}', 'berth.test/imported:1'])).toBe('1000');
  await d.must(['rmi', 'berth.test/imported:1']);
});

test('tags, dangling images, conflicts', async () => {
  await d.must(['tag', IMG, 'berth.test/other:2']);
  expect((await d.must(['images', '--format', '{{.Repository}}:{{.Tag}}'])).split('\n').sort()).toContain(
    'berth.test/other:2',
  );
  expect(await d.must(['rmi', 'berth.test/other:2'])).toBe('Untagged: berth.test/other:2');
  await d.must(['create', '--name', 'user', '--network', 'none', IMG, 'true']);
  const refused = await d.docker(['rmi', IMG]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(
    /conflict: unable to remove repository reference "berth\.test\/busybox:1" \(must force\) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}/,
  );
  await d.must(['rm', 'user']);
});

test('layers: whiteouts, opaque directories, hard links, symlinks, long names, capabilities, devices', async () => {
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(60)}`;
  const work = path.join(d.directory, 'layers');
  fs.mkdirSync(path.join(work, 'one', path.dirname(long)), { recursive: true });
  for (const n of ['gone', 'kept', 'opaque/old']) {
    fs.mkdirSync(path.dirname(path.join(work, 'one', n)), { recursive: true });
    fs.writeFileSync(path.join(work, 'one', n), n);
  }
  fs.writeFileSync(path.join(work, 'one', long), 'deep');
  fs.linkSync(path.join(work, 'one/kept'), path.join(work, 'one/linked'));
  fs.symlinkSync('/etc/passwd', path.join(work, 'one/symlink'));
  fs.truncateSync(path.join(work, 'one/kept'), 4);
  await must('mknod', [path.join(work, 'one/dev0'), 'c', '1', '5']);
  fs.mkdirSync(path.join(work, 'two/opaque'), { recursive: true });
  for (const n of ['.wh.gone', 'opaque/.wh..wh..opq', 'opaque/new']) fs.writeFileSync(path.join(work, 'two', n), 'two');
  const layers = [tar(busyboxEntries(['sh', 'ls', 'cat', 'stat', 'readlink']))];
  for (const n of ['one', 'two']) {
    await must('tar', ['--format=pax', '-C', path.join(work, n), '-cf', path.join(work, `${n}.tar`), '.']);
    layers.push(fs.readFileSync(path.join(work, `${n}.tar`)));
  }
  const archive = writeArchive(`layers-${process.pid}.tar`, { reference: 'berth.test/layers:1', layers });
  await d.must(['load', '-q', '-i', archive.path]);
  const out = await d.must([
    'run',
    '--rm',
    '--network',
    'none',
    'berth.test/layers:1',
    'sh',
    '-c',
    `ls / | tr '\\n' ' '; ls /opaque; cat /${long}; echo; stat -c '%h %t,%T' /linked /dev0; readlink /symlink`,
  ]);
  expect(out).not.toContain('gone');
  expect(out).toContain(' new\ndeep\n');
  expect(out).not.toContain('old');
  expect(out).toContain('2 0,0');
  expect(out).toContain('1,5');
  expect(out).toContain('/etc/passwd');
  await d.must(['rmi', 'berth.test/layers:1']);
  fs.rmSync(archive.path);
});

test('truncated, mis-hashed and escaping archives leave nothing', async () => {
  const good = fs.readFileSync(path.join(d.directory, 'saved.tar'));
  const count = (await d.must(['images', '-aq'])).split('\n').length;
  const bad: Record<string, Uint8Array> = {
    truncated: good.subarray(0, Math.floor(good.length / 2)),
    empty: new Uint8Array(),
    garbage: new Uint8Array(10_000).fill(65),
    escaping: fs.readFileSync(
      writeArchive(`escape-${process.pid}.tar`, {
        reference: 'berth.test/escape:1',
        layers: [
          tar([
            { name: 'link', type: '2', mode: 0o777, link: d.directory },
            { name: 'link/escaped', type: '0', mode: 0o644, content: new TextEncoder().encode('x') },
            { name: '../../escaped', type: '0', mode: 0o644, content: new TextEncoder().encode('x') },
          ]),
        ],
      }).path,
    ),
  };
  for (const [name, bytes] of Object.entries(bad)) {
    const file = path.join(d.directory, `${name}.tar`);
    fs.writeFileSync(file, bytes);
    const r = await d.docker(['load', '-i', file]);
    if (name !== 'escaping') expect([name, r.code]).toEqual([name, 1]);
    else await d.docker(['rmi', 'berth.test/escape:1']);
  }
  expect(fs.existsSync(path.join(d.directory, 'escaped'))).toBe(false);
  expect((await d.must(['images', '-aq'])).split('\n').length).toBe(count);
  expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
});

test('an image that nobody has: the words of docker', async () => {
  const r = await d.docker(['image', 'inspect', 'nosuch']);
  expect(r.stderr).toContain('No such image: nosuch:latest');
  const pull = await d.docker(['pull', '127.0.0.1:1/nosuch:1']);
  expect(pull.code).toBe(1);
  expect(pull.stderr).toContain('connect: connection refused');
  expect((await run('true', [])).code).toBe(0);
});
