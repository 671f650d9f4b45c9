/**
 * `kill -9` at random moments of load, tag, remove, prune and undo: whatever was on its way, the next start has whole
 * images only, and what an image needs is there. Needs root.
 */
import { afterAll, expect, test } from 'bun:test';
import { randomInt } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { loadImages } from '#image/load.ts';
import { saveImages } from '#image/save.ts';
import { file, openStores, platformLayout, streamOf, tarOf } from '#image/testing/archives.ts';
import { failpointNames } from '#pkg/failpoint/failpoint.ts';

const ROUNDS = 25;
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-kill-'));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

const shared = tarOf([file('shared', 's'.repeat(100_000))]);
const archives = ['a', 'b'].map((name) => {
  const image = { tags: [], layers: [shared, tarOf([file(name, name.repeat(200_000))])] };
  const platforms = [
    { platform: 'linux/amd64', image, attestation: `{"about":"${name}"}` },
    { platform: 'linux/arm64', image: { tags: [], layers: [tarOf([file(`${name}-arm`, name)])] } },
  ];
  const archive = path.join(scratch, `${name}.tar`);
  fs.writeFileSync(archive, platformLayout(`kill.example/${name}:1`, platforms).archive);
  return archive;
});

// Beside the test so that the project's import map applies.
const script = path.join(import.meta.dir, `.images-${process.pid}.ts`);
fs.writeFileSync(
  script,
  `
  import * as fs from 'node:fs';
  import { loadImages } from '#image/load.ts';
  import { removeImage } from '#image/remove.ts';
  import { openStores } from '#image/testing/archives.ts';
  import { parseReference } from '#reference/reference.ts';
  const [root, ...archives] = process.argv.slice(2);
  const stores = await openStores({ root, trashMs: 3_600_000 });
  const { images, graph } = stores;
  console.log('ready');
  for (;;) {
    for (const archive of archives) {
      await loadImages(images, { archive: fs.createReadStream(archive), quiet: true, tell: async () => {} });
    }
    for (const name of ['a', 'b']) {
      const given = 'kill.example/' + name + ':1';
      images.tag(images.resolve(given).id, parseReference(given + '-copy'), images.target(parseReference(given)));
      images.untag(parseReference(given + '-copy'));
      const batch = graph.trash.batch('rmi');
      await removeImage(images, {
        image: given, force: true, noprune: false, containersUsing: () => [], collect: () => graph.collect(),
        discard: ({ id, chainId, manifests }, names) =>
          batch.add({ id, chainId: chainId ?? null, record: images.recordOf(id), manifests, names }),
      });
      stores.content.collect();
    }
    graph.trash.undo(images, undefined);
    graph.trash.expire(true);
    await graph.collect();
    stores.content.collect();
  }
`,
);
afterAll(() => fs.rmSync(script, { force: true }));

/** Starts the worker and kills it so long after it is ready. */
async function killAfter(root: string, ms: number, failpoints = ''): Promise<void> {
  const child = Bun.spawn([process.execPath, script, root, ...archives], {
    env: { ...process.env, BERTH_FAILPOINTS: failpoints },
    stdout: 'pipe',
    stderr: 'ignore',
  });
  const reader = child.stdout.getReader();
  await reader.read();
  if (failpoints === '') {
    await Bun.sleep(ms);
    child.kill('SIGKILL');
  }
  await child.exited;
  expect(child.signalCode).toBe('SIGKILL');
}

async function check(root: string): Promise<void> {
  await using stores = await openStores({ root, trashMs: 3_600_000 });
  const { images, layers, content } = stores;
  content.collect();
  for (const image of images.list()) {
    expect(content.has(image.id)).toBe(true);
    for (const layer of layers.chain(image.chainId)) {
      expect(stores.driver.exists(layer.cacheId)).toBe(true);
      expect(content.size(layer.blob.digest)).toBe(layer.blob.size);
    }
  }
  const names = images.names().map(({ reference }) => `${reference.domain}/${reference.path}`);
  for (const name of new Set(names)) await saveImages(images, { names: [`${name}:1`], write: async () => undefined });
  while (stores.graph.trash.list().length > 0) stores.graph.trash.undo(images, undefined);
  expect(fs.readdirSync(path.join(root, 'content/ingest'))).toEqual([]);
  for (const archive of archives) {
    const bytes = fs.readFileSync(archive);
    await loadImages(images, { archive: streamOf(bytes), quiet: true, tell: async () => undefined });
  }
  expect(images.names().length).toBeGreaterThanOrEqual(2);
  for (const { id } of images.list()) images.delete(id);
  stores.graph.trash.expire(true);
  await stores.graph.collect();
  content.collect();
  expect(layers.list()).toEqual([]);
  expect(stores.driver.list()).toEqual([]);
  expect(content.list()).toEqual([]);
}

test('at random moments', async () => {
  const root = path.join(scratch, 'random');
  fs.mkdirSync(root);
  for (let round = 0; round < ROUNDS; round++) {
    await killAfter(root, randomInt(400));
    if (round % 3 === 2) await check(root);
  }
  await check(root);
}, 180_000);

test.each(failpointNames.filter((name) => name.startsWith('content.')))(
  'at %s',
  async (name) => {
    const root = path.join(scratch, name);
    fs.mkdirSync(root);
    await killAfter(root, 0, `${name}=kill`);
    await check(root);
  },
  60_000,
);
