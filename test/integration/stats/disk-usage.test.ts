/** `system df` and the prunes, by the stock CLI, our own and the API. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { DiskUsage } from '../../../src/api/types/disk-usage.ts';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

async function usage(query = '', version = '1.51'): Promise<DiskUsage> {
  const { status, body } = await d.request('GET', `/v${version}/system/df${query}`);
  expect(status).toBe(200);
  // as: the wire type of this path.
  return body as DiskUsage;
}

/** An image of one file on top of busybox, without a name if `tag` is ''. */
async function importImage(tag: string, change = ''): Promise<string> {
  const changes = change === '' ? [] : ['-c', change];
  return d.must(['import', ...changes, '-', ...(tag === '' ? [] : [tag])], { input: Buffer.alloc(10_240) });
}

test('df: sizes, who uses what, only the types asked for', async () => {
  const write = 'dd if=/dev/zero of=/own bs=1000 count=300; ln /own /same; ln -s 1234567890 /link';
  await d.must(['run', '--name', 'writer', '--network', 'none', '-v', 'kept:/kept', IMAGE, 'sh', '-c', write]);
  await d.must([
    'run',
    '--rm',
    '--network',
    'none',
    '-v',
    'kept:/k',
    IMAGE,
    'sh',
    '-c',
    'head -c 5000 /dev/zero > /k/f',
  ]);
  await d.must(['volume', 'create', 'unused']);
  const all = await usage();
  const [image] = all.Images ?? [];
  expect([image?.RepoTags, image?.Containers, image?.SharedSize]).toEqual([[IMAGE], 1, 0]);
  expect(all.LayersSize).toBe(image?.Size ?? -1);
  expect(all.Containers?.map((one) => [one.Names, one.SizeRw])).toEqual([[['/writer'], 300_010]]);
  expect(all.Containers?.[0]?.SizeRootFs).toBe(300_010 + all.LayersSize);
  // Drivers of volumes that others run on this host are seen too.
  const local = all.Volumes?.filter((one) => one.Driver === 'local');
  const volumes = local?.map((one) => [one.Name, one.UsageData]).sort();
  expect(volumes).toEqual([
    ['kept', { Size: 5000, RefCount: 1 }],
    ['unused', { Size: 0, RefCount: 0 }],
  ]);
  expect(all.BuildCache).toEqual([]);
  const some = await usage('?type=volume&type=build-cache');
  expect([some.LayersSize, some.Images, some.Containers, (some.Volumes ?? []).length >= 2]).toEqual([
    0,
    null,
    null,
    true,
  ]);
  expect((await d.request('GET', '/v1.51/system/df?type=moon')).body).toEqual({ message: 'unknown object type: moon' });
  const old = await usage('?type=volume', '1.41');
  expect([old.BuilderSize, old.Images?.[0]?.VirtualSize]).toEqual([0, old.LayersSize]);
}, 30_000);

test('two images that share a layer: what is shared counts once', async () => {
  await d.must(['tag', IMAGE, 'berth.test/second:1']);
  const first = await usage('?type=image');
  await importImage('berth.test/other:1');
  await importImage('berth.test/labelled:1', 'LABEL a=b');
  const { Images, LayersSize } = await usage('?type=image');
  const total = (Images ?? []).reduce((sum, one) => sum + one.Size - one.SharedSize, 0);
  expect(Images?.length).toBe(3);
  expect(LayersSize).toBeLessThanOrEqual(total + Math.max(...(Images ?? []).map((one) => one.SharedSize)));
  expect(LayersSize).toBeGreaterThanOrEqual(first.LayersSize);
}, 30_000);

test('docker system df and berth system df say the same, also verbose', async () => {
  const timeless = (text: string) => text.replace(/(?:\d+|About a|Less than a) (?:second|minute)s? ago/g, 'AGO');
  for (const more of [[], ['-v'], ['--format', 'json'], ['--format', '{{.Type}} {{.Active}} {{.Reclaimable}}']]) {
    const lines = (text: string) =>
      timeless(text)
        .split('\n')
        .map((line) => line.replace(/ +/g, ' '))
        .sort();
    // A volume driver of somebody else may come or go in between.
    await eventually('both say the same', async () => {
      const theirs = await d.docker(['system', 'df', ...more]);
      const ours = await d.berth(['system', 'df', ...more]);
      expect([theirs.code, ours.code, ours.stderr]).toEqual([0, 0, '']);
      expect(lines(ours.stdout)).toEqual(lines(theirs.stdout));
      return true;
    });
  }
}, 30_000);

test('filters of the prunes: age, labels, refusals', async () => {
  await d.must(['create', '--network', 'none', '--name', 'red', '--label', 'colour=red', IMAGE, 'true']);
  await d.must(['create', '--network', 'none', '--name', 'blue', '--label', 'colour=blue', IMAGE, 'true']);
  const prune = (filters: unknown) =>
    d.request('POST', `/v1.51/containers/prune?filters=${encodeURIComponent(JSON.stringify(filters))}`);
  expect(await prune({ until: ['1h'] })).toEqual({ status: 200, body: { ContainersDeleted: null, SpaceReclaimed: 0 } });
  expect(await prune({ label: ['colour=green'] })).toEqual({
    status: 200,
    body: { ContainersDeleted: null, SpaceReclaimed: 0 },
  });
  const blue = await d.must(['inspect', '-f', '{{.Id}}', 'blue']);
  const gone = await prune({ label: ['colour'], 'label!': ['colour=red'] });
  expect(gone.body).toEqual({ ContainersDeleted: [blue], SpaceReclaimed: 0 });
  expect((await prune({ dangling: ['true'] })).body).toEqual({ message: "invalid filter 'dangling'" });
  expect((await prune({ until: ['1h', '2h'] })).body).toEqual({ message: 'more than one until filter specified' });
  expect((await prune({ until: ['yesterday'] })).status).toBe(400);
  for (const what of ['networks', 'images']) {
    expect((await d.request('POST', `/v1.51/${what}/prune?filters={"colour":["red"]}`)).status).toBe(400);
  }
}, 30_000);

test('a running container and what it needs stay; the rest of containers goes, anonymous volumes not', async () => {
  await d.must(['run', '-d', '--name', 'stays', '--network', 'none', IMAGE, 'sleep', '1000']);
  await d.must(['run', '--name', 'anonymous', '--network', 'none', '-v', '/data', IMAGE, 'true']);
  const localVolumes = async () =>
    (await usage('?type=volume')).Volumes?.filter((one) => one.Driver === 'local').length;
  const volumes = await localVolumes();
  const refused = await d.berth(['container', 'prune'], { input: 'n\n' });
  // As docker: a no is no error.
  expect([refused.code, refused.stderr]).toEqual([0, '']);
  const pruned = await d.berth(['container', 'prune'], { input: 'y\n' });
  const lines = pruned.stdout.split('\n');
  expect(lines[0]).toBe('WARNING! This will remove all stopped containers.');
  expect(lines[1]).toBe('Are you sure you want to continue? [y/N] Deleted Containers:');
  expect(lines.filter((line) => /^[0-9a-f]{64}$/.test(line)).length).toBe(3);
  expect(pruned.stdout).toEndWith('\nTotal reclaimed space: 300kB\n');
  expect(await d.must(['ps', '-a', '--format', '{{.Names}}'])).toBe('stays');
  expect(await localVolumes()).toBe(volumes ?? -1);
}, 30_000);

test('images: dangling ones, then all that no container needs', async () => {
  await importImage('', 'LABEL nameless=yes');
  const dangling = await d.must(['images', '-q', '--no-trunc', '-f', 'dangling=true']);
  const first = await d.must(['image', 'prune', '-f']);
  expect(first).toContain(`deleted: ${dangling}\n`);
  expect(await d.must(['images', '-q', '-f', 'dangling=true'])).toBe('');
  const kept = await d.berth(['image', 'prune', '-a', '-f', '--filter', 'label=a=c']);
  expect(kept.stdout).toBe('Total reclaimed space: 0B\n');
  const labelled = await d.berth(['image', 'prune', '-a', '-f', '--filter', 'label=a=b']);
  expect(labelled.stdout).toContain('untagged: berth.test/labelled:1\n');
  await d.must(['image', 'prune', '-a', '-f']);
  const left = await d.must(['images', '--format', '{{.Repository}}']);
  expect(left.split('\n').sort()).toEqual(['berth.test/busybox', 'berth.test/second']);
}, 30_000);

test('system prune asks for everything and tells what it removed', async () => {
  await d.must(['create', '--network', 'none', '--name', 'idle', IMAGE, 'true']);
  const theirs = await d.docker(['system', 'prune', '-a', '--volumes', '-f']);
  expect([theirs.code, theirs.stderr]).toEqual([0, '']);
  expect(theirs.stdout).toContain('Deleted Containers:');
  expect(theirs.stdout).toContain('Deleted Volumes:');
  await d.must(['create', '--network', 'none', '--name', 'idle', IMAGE, 'true']);
  const ours = await d.berth(['system', 'prune', '-f']);
  expect(ours.stdout).toMatch(/^Deleted Containers:\n[0-9a-f]{64}\n\nTotal reclaimed space: 0B\n$/);
  const asked = await d.berth(['system', 'prune', '--filter', 'label=x'], { input: '\n' });
  expect(asked.code).toBe(0);
  expect(asked.stdout).toContain('label=x');
  // The client cuts a duration to whole seconds: `--until 0s` would leave out what happened in this one.
  const until = ((Date.now() + 1) / 1000).toFixed(3);
  expect(
    await d.must(['events', '--since', '1h', '--until', until, '--filter', 'event=prune', '--format', '{{.Type}}']),
  ).toContain('container');
  expect(await d.must(['builder', 'prune', '-f'])).toContain('Total reclaimed space: 0B');
}, 30_000);
