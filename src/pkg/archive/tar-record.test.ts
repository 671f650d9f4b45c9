import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { TarParser } from './parser.ts';
import { assembleTar, TarRecorder } from './tar-record.ts';
import { Unpacker } from './unpack.ts';

let directory = '';
let next = 0;
beforeAll(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tar-record-'));
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Unpacks with a record, in pieces of `size`; what is made again of both. */
function again(tar: Buffer, size: number, change?: (root: string) => void) {
  const place = path.join(directory, String(next++));
  const [root, record, file] = ['diff', 'record', 'file'].map((name) => path.join(place, name));
  fs.mkdirSync(root ?? '', { recursive: true });
  {
    using fd = ownedFd(open(root ?? '', O.PATH | O.DIRECTORY));
    using unpacker = new Unpacker({ root: fd.fd, whiteouts: 'none' });
    using recorder = new TarRecorder(unpacker, record ?? '');
    const parser = new TarParser(recorder);
    for (let at = 0; at < tar.length; at += size) {
      // The memory is used again, as that of a reader.
      const piece = Buffer.from(tar.subarray(at, at + size));
      parser.push(piece);
      recorder.pushed(piece);
      piece.fill(0xff);
    }
    parser.finish();
    unpacker.finish();
    recorder.finish();
  }
  change?.(root ?? '');
  const job = { kind: 'assemble', record: record ?? '', from: root ?? '', file: file ?? '' } as const;
  return { result: assembleTar(job, () => undefined), bytes: () => fs.readFileSync(file ?? '') };
}

/** As GNU tar writes it: long names, a link, a sparse file, padding of its own. */
function gnuTar(format: string): Buffer {
  const from = fs.mkdtempSync(path.join(directory, 'from-'));
  fs.mkdirSync(path.join(from, 'd', 'x'.repeat(120)), { recursive: true });
  fs.writeFileSync(path.join(from, 'd', 'x'.repeat(120), 'long'), 'long name');
  fs.writeFileSync(path.join(from, 'empty'), '');
  fs.writeFileSync(path.join(from, 'odd'), Buffer.alloc(700_001, 'odd'));
  fs.linkSync(path.join(from, 'odd'), path.join(from, 'same'));
  fs.symlinkSync('odd', path.join(from, 'link'));
  const fd = fs.openSync(path.join(from, 'sparse'), 'w');
  fs.writeSync(fd, 'start', 0);
  fs.writeSync(fd, 'middle', 1_000_000);
  fs.ftruncateSync(fd, 3_000_000);
  fs.closeSync(fd);
  const made = Bun.spawnSync(['tar', '-C', from, `--format=${format}`, '-S', '-cf', '-', '.']);
  expect(made.exitCode).toBe(0);
  return Buffer.from(made.stdout);
}

test.each([['gnu'], ['pax']])('a tar of format %s is made again, byte for byte', (format) => {
  const tar = gnuTar(format);
  for (const size of [1 << 20, 4096, 777]) {
    const { result, bytes } = again(tar, size);
    expect(result.diffId).toBe(digestOf(tar));
    expect(result.tarSize).toBe(tar.length);
    expect(bytes().equals(tar)).toBe(true);
  }
});

test('files that have changed are noticed by the digest, shorter ones and links at once', () => {
  const tar = gnuTar('pax');
  const changed = again(tar, 4096, (root) => fs.writeFileSync(path.join(root, 'odd'), Buffer.alloc(700_001, 'new')));
  expect(changed.result.diffId).not.toBe(digestOf(tar));
  expect(() => again(tar, 4096, (root) => fs.truncateSync(path.join(root, 'odd'), 10))).toThrow('shorter than it was');
  const replaced = (root: string): void => {
    fs.rmSync(path.join(root, 'odd'));
    fs.symlinkSync('/etc/passwd', path.join(root, 'odd'));
  };
  expect(() => again(tar, 4096, replaced)).toThrow('ELOOP');
});
