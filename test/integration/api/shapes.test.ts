/**
 * Keys and types of our answers are those of dockerd 28.5.2 (API 1.51), recorded by tools/golden-shapes.ts. Nothing of
 * what it says is missing, and nothing is there beside it but what is listed here with its reason.
 */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { collectShapes, type Shapes } from '../../support/api-shapes.ts';
import { TestDaemon } from '../../support/daemon.ts';

/** Paths that only dockerd has: there is no such thing here. */
const MISSING = [/^GET \/info .*\.(Containerd\.|Runtimes\.\*\.status)/];

/** It was recorded on cgroup v1: the other has other figures. */
const V2 = fs.existsSync('/sys/fs/cgroup/cgroup.controllers');
const ofV1 = (line: string): boolean => /KernelMemoryTCP|^GET \/containers\/one\/stats/.test(line);

/** Paths that only we have. */
const OWN = [
  / \.Berth(\.|:)/, // what an update counts
  /^GET \/(v1\.43\/)?images\/.* \.ContainerConfig/, // docker-compose 1.29 needs it
  /\.Revision: /, // of an update
];

/** A value may be absent in one life and there in the other: null, an empty list or object says nothing of its type. */
const isEmpty = (line: string): boolean => /: (null|\[\]|\{\})$/.test(line);
const pathOf = (line: string): string => line.slice(0, line.lastIndexOf(': '));

/** Lines of `here` that `there` does not know: another type, or a key that is not there. */
function unknown(here: readonly string[], there: readonly string[]): string[] {
  const lines = new Set(there);
  const paths = new Set(there.map(pathOf));
  const empty = new Set(there.filter(isEmpty).map(pathOf));
  const below = (place: string): boolean => {
    // An element of a list, or a field of what is null, empty or an object that lacks nothing else there.
    for (const parent of empty) if (place.startsWith(`${parent}[]`) || place.startsWith(`${parent}.`)) return true;
    return false;
  };
  return here.filter((line) => {
    if (lines.has(line)) return false;
    const place = pathOf(line);
    if (below(place) || empty.has(place)) return false;
    if (!isEmpty(line)) return true;
    return !paths.has(place) && !there.some((other) => other.startsWith(`${place}.`) || other.startsWith(`${place}[]`));
  });
}

test('keys and types of answers are those of dockerd 28.5.2', async () => {
  await using d = await TestDaemon.start();
  const ours = await collectShapes((method, target, body) => d.request(method, target, body));
  const file = path.join(import.meta.dirname, 'dockerd-shapes.json');
  // as: what the tool wrote.
  const golden = JSON.parse(fs.readFileSync(file, 'utf8')) as Shapes;
  expect(Object.keys(ours).sort()).toEqual(Object.keys(golden).sort());
  const missing: string[] = [];
  const own: string[] = [];
  for (const [request, lines] of Object.entries(golden)) {
    const mine = ours[request] ?? [];
    missing.push(...unknown(lines, mine).map((line) => `${request} ${line}`));
    own.push(...unknown(mine, lines).map((line) => `${request} ${line}`));
  }
  expect(missing.filter((line) => !(V2 && ofV1(line)) && !MISSING.some((allowed) => allowed.test(line)))).toEqual([]);
  expect(own.filter((line) => !(V2 && ofV1(line)) && !OWN.some((allowed) => allowed.test(line)))).toEqual([]);
}, 180_000);
