/** The images of the benchmark: busybox with a file of log lines, and large ones of many files for load and save. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../support/base-images.ts';
import { must } from '../support/command.ts';
import { clockProgram } from './clock-program.ts';

export const SMALL = 'bench.test/small:1';
/** Lines of 100 bytes in /lines of the small image. */
export const LINES_BYTES = 10_000_000;

export async function smallImage(): Promise<string> {
  const applets = (await must('/bin/busybox', ['--list'])).split('\n');
  const line = `${'the quick brown fox jumps over the lazy dog; '.repeat(3).slice(0, 99)}\n`;
  const lines = Buffer.from(line.repeat(LINES_BYTES / line.length));
  const layer = tar([
    ...busyboxEntries(applets),
    { name: 'lines', type: '0', mode: 0o644, content: lines },
    { name: 'clock', type: '0', mode: 0o755, content: clockProgram() },
  ]);
  return writeArchive('bench-small.tar', { reference: SMALL, layers: [layer] }).path;
}

const LAYERS = 6;
const FILES_PER_LAYER = 5_400;
const FILE_BYTES = 8_300;

/** About 270 MB in 32,400 files in 6 layers. Each variant has its own bytes: nobody has its layers already. */
export function largeImage(variant: number): { path: string; reference: string } {
  const name = `bench-large-${variant}.tar`;
  const reference = `bench.test/large:${variant}`;
  const existing = path.resolve(import.meta.dirname, '../../build/test-images', name);
  if (fs.existsSync(existing)) return { path: existing, reference };
  const layers = Array.from({ length: LAYERS }, (_, l) => largeLayer(variant * 100 + l, l));
  return { path: writeArchive(name, { reference, layers }).path, reference };
}

/** Layers of a large image; those below `changed` are the same for every value of it. */
export function largeLayers(variant: number, changed = 0): Buffer[] {
  return Array.from({ length: LAYERS }, (_, l) =>
    largeLayer(variant * 100 + l + (l === LAYERS - 1 ? changed * 10 : 0), l),
  );
}

function largeLayer(seed: number, number: number): Buffer {
  const pattern = Buffer.concat(
    Array.from({ length: 600 }, (_, i) => createHash('sha512').update(`${seed} ${i}`).digest()),
  );
  const entries: Parameters<typeof tar>[0][number][] = [];
  for (let i = 0; i < FILES_PER_LAYER; i++) {
    if (i % 60 === 0) entries.push({ name: `l${number}-${i / 60}/`, type: '5', mode: 0o755 });
    const start = (i * 61) % (pattern.length - FILE_BYTES);
    const content = Buffer.concat([Buffer.from(`${seed} ${i}`), pattern.subarray(start, start + FILE_BYTES)]);
    entries.push({ name: `l${number}-${Math.floor(i / 60)}/f${i}`, type: '0', mode: 0o644, content });
  }
  return tar(entries);
}
