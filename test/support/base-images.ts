/**
 * Base images of the tests, made from Debian's busybox-static (no network): docker-archive tarballs below
 * `build/test-images`, made once and the same bytes each time.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';

const directory = path.resolve(import.meta.dirname, '../../build/test-images');
const BUSYBOX = '/bin/busybox';

interface Entry {
  readonly name: string;
  readonly type: '0' | '1' | '2' | '5';
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly link?: string;
  readonly content?: Uint8Array;
}

/** ustar by hand: the tests' images must not depend on the code under test. */
export function tar(entries: readonly Entry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const e of entries) {
    const header = Buffer.alloc(512);
    const content = e.content ?? new Uint8Array();
    const octal = (value: number, at: number, width: number) =>
      header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
    header.write(e.name, 0, 100);
    octal(e.mode, 100, 8);
    octal(e.uid ?? 0, 108, 8);
    octal(e.gid ?? 0, 116, 8);
    octal(content.length, 124, 12);
    octal(1_700_000_000, 136, 12);
    header.write('        ', 148);
    header.write(e.type, 156);
    header.write(e.link ?? '', 157, 100);
    header.write('ustar\x0000', 257);
    let sum = 0;
    for (const byte of header) sum += byte;
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    blocks.push(header, Buffer.from(content), Buffer.alloc((512 - (content.length % 512)) % 512));
  }
  blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}

const text = (s: string) => new TextEncoder().encode(s);
const dir = (name: string, mode = 0o755): Entry => ({ name, type: '5', mode });
const file = (name: string, content: string, mode = 0o644): Entry => ({
  name,
  type: '0',
  mode,
  content: text(content),
});

/** Entries of a root filesystem with busybox and its applets. */
export function busyboxEntries(applets: readonly string[]): Entry[] {
  const busybox = fs.readFileSync(BUSYBOX);
  return [
    ...['bin/', 'dev/', 'etc/', 'home/', 'proc/', 'root/', 'sys/', 'usr/', 'usr/bin/', 'var/'].map((n) => dir(n)),
    dir('tmp/', 0o1777),
    { name: 'bin/busybox', type: '0', mode: 0o755, content: busybox },
    ...applets
      .filter((a) => a !== 'busybox')
      .map((a): Entry => ({ name: `bin/${a}`, type: '1', mode: 0o755, link: 'bin/busybox' })),
    file(
      'etc/passwd',
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nsailor:x:1000:1000::/home:/bin/sh\n',
    ),
    file('etc/group', 'root:x:0:\nnogroup:x:65534:\nsailor:x:1000:\ncrew:x:2000:sailor\n'),
  ];
}

export interface ImageOptions {
  readonly reference: string;
  readonly layers: readonly Buffer[];
  readonly config?: Record<string, unknown>;
}

/** A docker-archive of one image. Returns the archive's path and the image id. */
export function writeArchive(name: string, options: ImageOptions): { path: string; id: string } {
  fs.mkdirSync(directory, { recursive: true });
  const digest = (b: Uint8Array) => createHash('sha256').update(b).digest('hex');
  const diffIds = options.layers.map((l) => `sha256:${digest(l)}`);
  const config = text(
    JSON.stringify({
      architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
      os: 'linux',
      created: '2026-01-01T00:00:00Z',
      config: {
        Cmd: ['sh'],
        Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
        ...options.config,
      },
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: diffIds.map((_, i) => ({ created: '2026-01-01T00:00:00Z', created_by: `layer ${i}` })),
    }),
  );
  const id = digest(config);
  const names = diffIds.map((d) => `${d.slice(7)}/layer.tar`);
  const manifest = JSON.stringify([{ Config: `${id}.json`, RepoTags: [options.reference], Layers: names }]);
  const entries: Entry[] = options.layers.map((l, i) => ({ name: names[i] ?? '', type: '0', mode: 0o644, content: l }));
  entries.push({ name: `${id}.json`, type: '0', mode: 0o644, content: config }, file('manifest.json', manifest));
  const target = path.join(directory, name);
  fs.writeFileSync(`${target}.${process.pid}`, tar(entries));
  fs.renameSync(`${target}.${process.pid}`, target);
  return { path: target, id: `sha256:${id}` };
}

let busybox: { path: string; id: string } | undefined;

/** `berth.test/busybox:1`: busybox with its applets. */
export async function busyboxImage(): Promise<{ path: string; id: string; reference: string }> {
  if (busybox === undefined) {
    const { must } = await import('./command.ts');
    const applets = (await must(BUSYBOX, ['--list'])).split('\n');
    busybox = writeArchive('busybox.tar', {
      reference: 'berth.test/busybox:1',
      layers: [tar(busyboxEntries(applets))],
    });
  }
  return { ...busybox, reference: 'berth.test/busybox:1' };
}
