/**
 * Copying into and out of a container that does not want what its owner wants (CVE-2018-15664, CVE-2019-14271,
 * CVE-2021-41089, GHSA-x86f-5xw2-fm2r, GHSA-rg2x-37c3-w2rh): nothing of the host is read or written, nothing of the
 * container is executed.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../support/base-images.ts';
import { bzip2Tar, storedXz } from '../support/packed.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const RACE_MS = 5_000;
let d: TestDaemon;
let canary: string;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  canary = path.join(d.directory, 'canary');
  fs.mkdirSync(canary);
  fs.writeFileSync(path.join(canary, 'secret'), 'of the host');
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const untouched = () => {
  expect(fs.readdirSync(canary)).toEqual(['secret']);
  expect(fs.readFileSync(path.join(canary, 'secret'), 'utf8')).toBe('of the host');
  expect(fs.statSync(path.join(canary, 'secret')).nlink).toBe(1);
};

async function request(method: string, name: string, where: string, body?: Uint8Array) {
  const target = `http://berth/containers/${name}/archive?path=${encodeURIComponent(where)}`;
  const r = await fetch(target, { unix: d.socket, method, ...(body === undefined ? {} : { body }) });
  return { status: r.status, text: Buffer.from(await r.arrayBuffer()).toString('latin1') };
}

const file = (name: string, content = 'planted') =>
  ({ name, type: '0', mode: 0o644, content: Buffer.from(content) }) as const;
const link = (name: string, to: string) => ({ name, type: '2', mode: 0o777, link: to }) as const;
const hard = (name: string, to: string) => ({ name, type: '1', mode: 0o644, link: to }) as const;

test('a directory that is swapped for a link all the time leads nowhere outside', async () => {
  // The link names a directory of the host by its path there.
  const swap =
    `mkdir -p ${canary} /root/real; ln -s ${canary} /root/link; ln -s ../../../../../..${canary} /root/up; cd /root; mv real d; ` +
    'while :; do mv d x; mv link d; mv d link; mv up d; mv d up; mv x d; done';
  await d.must(['run', '-d', '--name', 'swaps', '--network', 'none', IMG, 'sh', '-c', swap]);
  const planted = tar([file('planted'), { name: 'sub/', type: '5', mode: 0o777 }, file('sub/planted')]);
  const end = performance.now() + RACE_MS;
  const seen = new Map<number, number>();
  while (performance.now() < end) {
    const [put, out, through] = await Promise.all([
      request('PUT', 'swaps', '/root/d', planted),
      request('GET', 'swaps', '/root/d'),
      request('GET', 'swaps', '/root/d/secret'),
    ]);
    for (const { status, text } of [put, out, through]) {
      seen.set(status, (seen.get(status) ?? 0) + 1);
      expect(text).not.toContain('of the host');
    }
  }
  untouched();
  // It was a race: some found the directory, some nothing.
  expect(seen.get(200) ?? 0).toBeGreaterThan(10);
  expect([...seen.keys()].every((status) => [200, 400, 404, 500].includes(status))).toBe(true);
  await d.must(['rm', '-f', 'swaps']);
}, 60_000);

test('the same while a tree is packed: its directories are swapped for links', async () => {
  const swap =
    `mkdir -p ${canary} /t/a/b/c; for i in 1 2 3 4 5 6 7 8 9; do cp -r /t/a /t/a$i; done; ln -s ${canary} /t/l; cd /t; ` +
    'while :; do for i in 1 2 3 4 5 6 7 8 9; do mv a$i x; mv l a$i; mv a$i l; mv x a$i; done; done';
  await d.must(['run', '-d', '--name', 'packs', '--network', 'none', IMG, 'sh', '-c', swap]);
  const end = performance.now() + RACE_MS / 2;
  let whole = 0;
  while (performance.now() < end) {
    const r = await request('GET', 'packs', '/t');
    expect(r.text).not.toContain('of the host');
    if (r.status === 200) whole += 1;
  }
  expect(whole).toBeGreaterThan(5);
  untouched();
  await d.must(['rm', '-f', 'packs']);
}, 60_000);

test('hostile archives stay in the container, whatever they name', async () => {
  await d.must(['run', '-d', '--name', 'eats', '--network', 'none', IMG, 'sleep', '1000']);
  const up = '../../../../../../../../..';
  const attempts: [number[], ReturnType<typeof tar>][] = [
    [[500], tar([file(`${up}${canary}/planted`)])],
    [[200], tar([file(`${canary}/planted`)])],
    [[200, 500], tar([link('l', canary), file('l/planted')])],
    [[200, 500], tar([link('u', `${up}${canary}`), file('u/planted')])],
    [[200, 500], tar([link('f', `${canary}/secret`), file('f', 'overwritten')])],
    [[500], tar([hard('h', `${up}${canary}/secret`)])],
    [[500], tar([hard('h', `${canary}/secret`)])],
    [[200, 500], tar([link('m', '/proc/1/root'), file('m/planted')])],
    [[200, 500], tar([link('fd', '/proc/self/fd'), file('fd/planted')])],
    [[500], Buffer.concat([tar([file('short')]).subarray(0, 512), Buffer.alloc(3)])],
  ];
  for (const [statuses, archive] of attempts) {
    const { status, text } = await request('PUT', 'eats', '/root', archive);
    expect([...statuses, text]).toContain(status);
    untouched();
  }
  // Longer than what there is.
  const long = Buffer.from(tar([file('long')]));
  long.write('77777777777\0', 124);
  long.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of long.subarray(0, 512)) sum += byte;
  long.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  expect((await request('PUT', 'eats', '/root', long)).status).toBe(500);
  untouched();
  // The daemon is as well as before.
  expect((await request('GET', 'eats', '/etc/passwd')).status).toBe(200);
  await d.must(['rm', '-f', 'eats']);
}, 60_000);

test('the kernel’s own links are no way out', async () => {
  await d.must(['run', '-d', '--name', 'magic', '--network', 'none', '--pid', 'host', IMG, 'sleep', '1000']);
  for (const where of [`/proc/1/root${canary}/secret`, `/proc/${process.pid}/cwd/package.json`, '/proc/1/root/.']) {
    const r = await request('GET', 'magic', where);
    expect(r.status).toBeGreaterThanOrEqual(400);
    expect(r.text).not.toContain('of the host');
    const put = await request('PUT', 'magic', path.dirname(where), tar([file('planted')]));
    expect(put.status).toBeGreaterThanOrEqual(400);
  }
  untouched();
  await d.must(['rm', '-f', 'magic']);
}, 60_000);

test('no program and no library of the image is run for a copy, an export, a diff or a commit', async () => {
  const trap = '#!/bin/sh\ntouch /executed\nexit 1\n';
  const programs = [
    'xz',
    'unxz',
    'gzip',
    'gunzip',
    'unpigz',
    'pigz',
    'bzip2',
    'tar',
    'getent',
    'id',
    'zstd',
    'ldconfig',
  ];
  const { path: archive } = writeArchive('traps.tar', {
    reference: 'berth.test/traps:1',
    layers: [
      tar([
        ...busyboxEntries(['sh', 'sleep', 'touch', 'test']),
        ...programs.flatMap((name) => [
          { ...file(`usr/bin/${name}`, trap), mode: 0o755 },
          { ...file(`bin/${name}`, trap), mode: 0o755 },
        ]),
        file('etc/nsswitch.conf', 'passwd: trap\n'),
        { name: 'lib/', type: '5', mode: 0o755 } as const,
        { ...file('lib/libnss_trap.so.2', 'no library'), mode: 0o755 },
      ]),
    ],
  });
  await d.must(['load', '-q', '-i', archive]);
  await d.must([
    'run',
    '-d',
    '--name',
    'traps',
    '--network',
    'none',
    '-u',
    'sailor',
    'berth.test/traps:1',
    'sleep',
    '1000',
  ]);
  for (const packed of [storedXz(Buffer.from(tar([file('f')]))), bzip2Tar]) {
    expect((await request('PUT', 'traps', '/tmp', packed)).status).toBe(200);
    expect((await request('PUT', 'traps', '/tmp', packed.subarray(0, 40))).status).toBe(500);
  }
  expect((await request('PUT', 'traps', '/tmp', Bun.gzipSync(new Uint8Array(tar([file('f')]))))).status).toBe(200);
  expect((await request('GET', 'traps', '/usr')).status).toBe(200);
  await d.must(['diff', 'traps']);
  await d.must(['commit', 'traps', 'traps:2']);
  await d.must(['export', '-o', path.join(d.directory, 'traps-export.tar'), 'traps']);
  const source = path.join(d.directory, 'for-traps');
  fs.writeFileSync(source, 'x');
  await d.must(['cp', '-a', source, 'traps:/tmp/a']);
  expect((await d.docker(['exec', 'traps', 'test', '-e', '/executed'])).code).toBe(1);
  await d.must(['rm', '-f', 'traps']);
}, 60_000);
