/** Several platforms behind one name, with the stock docker CLI: load, ls --tree, inspect, history, save, rmi, tag, run. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { file, platformLayout, tarOf, type TestPlatform } from '#image/testing/archives.ts';
import { busyboxEntries, tar } from '../../support/base-images.ts';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const NAME = 'berth.test/multi:1';
const STATEMENT = '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document"}';
const host = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64';
const other = process.arch === 'arm64' ? 'linux/amd64' : 'linux/arm64';
const platforms: TestPlatform[] = [
  {
    platform: other,
    image: { tags: [], layers: [tarOf([file('other', 'o'.repeat(300))])], config: { Cmd: ['other'] } },
  },
  {
    platform: host,
    image: { tags: [], layers: [tar(busyboxEntries(['sh', 'echo']))], config: { Cmd: ['echo', 'mine'] } },
    attestation: STATEMENT,
  },
];
const { archive, digest } = platformLayout(NAME, platforms);

let d: TestDaemon;
let source = '';
let base = '';
beforeAll(async () => {
  d = await TestDaemon.start();
  base = await d.must(['images', '-aq']);
  source = path.join(d.directory, 'multi.tar');
  fs.writeFileSync(source, archive);
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const ids = async (...args: string[]): Promise<string[]> => (await d.must(['images', '-q', ...args])).split('\n');
/** Images that were not there before. */
const left = async (): Promise<string[]> => (await ids('-a')).filter((id) => id !== base && id !== '');
const inspect = (format: string, ...args: string[]): Promise<string> =>
  d.must(['image', 'inspect', '-f', format, ...args, NAME]);

test('all platforms are loaded; the name means that of this host, and others are asked for', async () => {
  expect(await d.must(['load', '-i', source])).toBe(`Loaded image: ${NAME}`);
  expect(await inspect('{{.Os}}/{{.Architecture}}')).toBe(host);
  expect(await inspect('{{.Os}}/{{.Architecture}}', '--platform', other)).toBe(other);
  expect(await inspect('{{.Descriptor.Digest}}')).toBe(digest);
  // The other one has no name of its own: it is shown with the first, and is not dangling.
  expect((await ids('--filter', `reference=${NAME}`)).length).toBe(1);
  expect(await d.must(['images', '-q', '--filter', 'dangling=true'])).toBe('');
  expect(await d.must(['run', '--rm', '--network', 'none', NAME])).toBe('mine');
  expect(await d.must(['history', '--platform', other, '--format', '{{.Size}}', NAME])).toBe('300B');
  const wrong = await d.docker(['image', 'inspect', '--platform', 'linux/s390x', NAME]);
  expect(wrong.stderr).toContain(
    `image with reference ${NAME} was found but its platform (${host}) does not match the specified platform (linux/s390x)`,
  );
}, 60_000);

test('the tree has a line for each platform; the API tells of attestations and what they say', async () => {
  const tree = await d.must(['images', '--tree']);
  expect(tree).toContain(NAME);
  expect(tree).toContain(host);
  expect(tree).toContain(other);
  const get = async (where: string): Promise<unknown> =>
    (await fetch(`http://x/v1.51${where}`, { unix: d.socket })).json();
  const inspected = await get(`/images/${NAME}/json?manifests=1`);
  expect(inspected).toMatchObject({
    Manifests: [
      { Kind: 'image', Available: true, ImageData: { Containers: [] } },
      { Kind: 'image', Available: true },
      { Kind: 'attestation', Available: true },
    ],
  });
  expect(await get(`/images/${NAME}/attestations?statement=1`)).toMatchObject([
    { PredicateType: 'https://spdx.dev/Document', Statement: { predicateType: 'https://spdx.dev/Document' } },
  ]);
  expect(await get(`/images/${NAME}/attestations?type=other`)).toEqual([]);
  const platform = encodeURIComponent(JSON.stringify({ os: 'linux', architecture: other.slice(6) }));
  expect(await get(`/images/${NAME}/attestations?platform=${platform}`)).toEqual([]);
  expect(await get(`/images/${NAME}/json?platform=x`)).toEqual({ message: 'failed to parse platform: it is not JSON' });
}, 60_000);

test('save keeps the index, its digest and all platforms; of one platform when asked; skopeo reads both', async () => {
  const all = path.join(d.directory, 'all.tar');
  const one = path.join(d.directory, 'one.tar');
  await d.must(['save', '-o', all, NAME]);
  await d.must(['save', '--platform', other, '-o', one, NAME]);
  const raw = await must('skopeo', ['inspect', '--raw', `oci-archive:${all}`]);
  expect(`sha256:${new Bun.CryptoHasher('sha256').update(raw).digest('hex')}`).toBe(digest);
  expect(await must('skopeo', ['inspect', '--format', '{{.Architecture}}', `oci-archive:${one}`])).toBe(other.slice(6));

  const before = await inspect('{{.Id}}');
  const removed = await d.must(['rmi', NAME]);
  expect(removed.split('\n').filter((line) => line.startsWith('Deleted')).length).toBe(4);
  expect(await left()).toEqual([]);
  await d.must(['load', '-i', all]);
  expect(await inspect('{{.Id}}')).toBe(before);
  expect(await inspect('{{.Descriptor.Digest}}')).toBe(digest);
  expect(await inspect('{{.Architecture}}', '--platform', other)).toBe(other.slice(6));

  await d.must(['rmi', NAME]);
  await d.must(['load', '--platform', other, '-i', all]);
  expect(await inspect('{{.Architecture}}')).toBe(other.slice(6));
  // The rest of the same index comes later: the name means this host's again.
  await d.must(['load', '-i', all]);
  expect(await inspect('{{.Id}}')).toBe(before);
}, 60_000);

test('skopeo reads images out of the content store itself', async () => {
  const layout = path.join(d.dataRoot, 'content');
  const named = async (name: string): Promise<string> =>
    must('skopeo', ['inspect', '--config', '--format', '{{.Architecture}}', `oci:${layout}:${name}`]);
  await eventually(
    'index.json has the name',
    () => fs.readFileSync(path.join(layout, 'index.json'), 'utf8').includes(NAME),
    30_000,
  );
  expect(await named(NAME)).toBe(host.slice(6));
  // It came as a docker-archive, without a manifest.
  expect(await named('berth.test/busybox:1')).toBe(host.slice(6));
  const copied = path.join(d.directory, 'copied.tar');
  await must('skopeo', [
    'copy',
    '-q',
    '--insecure-policy',
    `oci:${layout}:berth.test/busybox:1`,
    `oci-archive:${copied}`,
  ]);
  expect(fs.statSync(copied).size).toBeGreaterThan(100_000);
}, 60_000);

test('a tag takes all platforms with it; one platform is removed alone', async () => {
  await d.must(['tag', NAME, 'berth.test/copy:1']);
  expect(await d.must(['image', 'inspect', '--platform', other, '-f', '{{.Architecture}}', 'berth.test/copy:1'])).toBe(
    other.slice(6),
  );
  await d.must(['rmi', 'berth.test/copy:1']);
  expect(await inspect('{{.Architecture}}', '--platform', other)).toBe(other.slice(6));
  expect(await d.must(['rmi', '--platform', host, NAME])).toContain('Deleted: sha256:');
  expect(await inspect('{{.Os}}/{{.Architecture}}')).toBe(other);
  await d.must(['rmi', '--platform', other, NAME]);
  expect(await left()).toEqual([]);
}, 60_000);
