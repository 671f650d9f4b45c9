/**
 * Pull and load on a disk that runs full at every stage: with ever more room left, each attempt is a clear error that
 * leaves nothing half made, or the whole image; and with room it works.
 */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../support/base-images.ts';
import { must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { TestRegistry } from '../support/registry.ts';

const MB = 1 << 20;
/** Of random bytes, which nothing makes smaller. */
const BIG = 6 * MB;
/** What is left free: for the manifest, the archives, the files, the database … */
const LEFT = [0, 16 << 10, 256 << 10, MB, 3 * MB, 6 * MB, 8 * MB, 12 * MB, 16 * MB, 32 * MB];

test('at every stage', async () => {
  const mount = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-full-'));
  await must('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', mount]);
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(async () => {
    await run('umount', [mount]);
    fs.rmdirSync(mount);
  });
  await using registry = await TestRegistry.start();
  await using d = await TestDaemon.start({ dataRoot: path.join(mount, 'data'), noBridge: true, image: false });
  const name = `${registry.host}/app:1`;
  const content = Buffer.alloc(BIG);
  for (let at = 0; at < BIG; at += 65_536) crypto.getRandomValues(content.subarray(at, at + 65_536));
  const layers = [tar(busyboxEntries(['echo'])), tar([{ name: 'big', type: '0', mode: 0o644, content }])];
  const archive = writeArchive(`full-${process.pid}.tar`, { reference: name, layers });
  cleanup.defer(() => fs.rmSync(archive.path, { force: true }));
  const push = ['copy', '-q', '--insecure-policy', '--dest-tls-verify=false', `docker-archive:${archive.path}`];
  await must('skopeo', [...push, `docker://${name}`]);

  const filler = path.join(mount, 'filler');
  const fill = (left: number): void => {
    const { bavail, bsize } = fs.statfsSync(mount);
    const size = Math.max(0, bavail * bsize - left);
    fs.writeFileSync(filler, new Uint8Array());
    const piece = new Uint8Array(MB);
    try {
      for (let at = 0; at < size; at += MB) fs.appendFileSync(filler, piece.subarray(0, Math.min(MB, size - at)));
    } catch (error) {
      // The daemon has written something meanwhile: full is what it is to be.
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
    }
  };
  const verbs: readonly (readonly string[])[] = [
    ['pull', '-q', name],
    ['load', '-q', '-i', archive.path],
  ];
  for (const verb of verbs) {
    let refused = 0;
    let came = 0;
    for (const left of LEFT) {
      fill(left);
      const { code, stderr } = await d.docker(verb);
      const listed = await d.must(['images', '-aq', '--no-trunc']);
      fs.rmSync(filler);
      if (code === 0) {
        came += 1;
        expect(listed).toBe(archive.id);
        expect(await d.must(['run', '--rm', '--network', 'none', name, 'echo', 'whole'])).toBe('whole');
        await d.must(['rmi', '-f', name]);
      } else {
        refused += 1;
        expect([verb[0], left, stderr]).toEqual([
          verb[0],
          left,
          stderr.match(/.*no space left on device.*/is)?.[0] ?? '',
        ]);
        expect(listed).toBe('');
        const overlay = fs.readdirSync(path.join(d.dataRoot, 'overlay')).filter((entry) => entry.startsWith('tmp-'));
        expect([fs.readdirSync(path.join(d.dataRoot, 'content/ingest')), overlay]).toEqual([[], []]);
      }
    }
    expect([refused > 0, came > 0]).toEqual([true, true]);
    await d.must(verb);
    await d.must(['rmi', '-f', name]);
  }
}, 300_000);
