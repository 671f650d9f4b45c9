/** Which build this is, for `docker version`: told by the build, or read from the checkout that it runs from. */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';

/** Put in by tools/build.ts; not there when running from source. */
declare const BERTH_COMMIT: string | undefined;
declare const BERTH_BUILD_TIME: string | undefined;

export interface BuildFacts {
  readonly version: string;
  readonly commit: string;
  readonly time: string;
}

export function buildFacts(version: string): BuildFacts {
  if (typeof BERTH_COMMIT === 'string' && typeof BERTH_BUILD_TIME === 'string') {
    return { version, commit: BERTH_COMMIT, time: BERTH_BUILD_TIME };
  }
  const root = path.resolve(import.meta.dirname, '../..');
  return { version, commit: commitOf(path.join(root, '.git')), time: changeOf(path.join(root, 'package.json')) };
}

const UNKNOWN = 'unknown';

/** Without running git: HEAD names a branch, the branch's file or packed-refs has the commit. */
function commitOf(folder: string): string {
  const head = read(path.join(folder, 'HEAD'));
  const branch = /^ref: (.+)$/.exec(head)?.[1];
  if (branch === undefined) return shortened(head);
  const loose = read(path.join(folder, branch));
  if (loose !== '') return shortened(loose);
  const packed = read(path.join(folder, 'packed-refs')).split('\n');
  return shortened(packed.find((line) => line.endsWith(` ${branch}`)) ?? '');
}

function shortened(text: string): string {
  return /^[0-9a-f]{40}/.test(text) ? text.slice(0, 7) : UNKNOWN;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function changeOf(file: string): string {
  try {
    return statSync(file).mtime.toISOString();
  } catch {
    return UNKNOWN;
  }
}
