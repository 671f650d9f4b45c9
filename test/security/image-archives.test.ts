/**
 * Archives of images by strangers: documents that lie, that are two things at once, that never end, and archives damaged
 * anywhere. Whatever comes, nothing is left of it and what was there before is as it was. Needs root.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { createHash, randomInt } from 'node:crypto';
import { kindOf } from '#errdefs/errors.ts';
import { loadImages } from '#image/load.ts';
import {
  directory,
  file,
  openStores,
  platformLayout,
  streamOf,
  symlink,
  tarOf,
  type TestStores,
} from '#image/testing/archives.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = 'application/vnd.oci.image.config.v1+json';
const layer = tarOf([directory('d'), file('d/f', 'f'.repeat(400)), symlink('l', 'd/f')]);
const good = platformLayout('good.example/app:1', [
  { platform: 'linux/amd64', image: { tags: [], layers: [layer] }, attestation: '{"predicateType":"x"}' },
  { platform: 'linux/arm64', image: { tags: [], layers: [tarOf([file('other', 'o')])] } },
]).archive;

let stores: TestStores;
beforeAll(async () => {
  stores = await openStores();
  await loadImages(stores.images, { archive: streamOf(good), quiet: true, tell: async () => undefined });
}, 60_000);
afterAll(() => stores[Symbol.asyncDispose](), 60_000);

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** A layout whose index.json names the last document; documents may be any JSON. */
function layout(...documents: readonly { readonly mediaType: string; readonly json: unknown }[]): Buffer {
  const blobs = documents.map(({ mediaType, json }) => {
    const bytes = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json));
    return { bytes, descriptor: { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length } };
  });
  return tarOf([
    file('oci-layout', '{"imageLayoutVersion":"1.0.0"}'),
    ...blobs.map(({ bytes }) => file(`blobs/sha256/${sha256(bytes)}`, bytes)),
    file('index.json', JSON.stringify({ schemaVersion: 2, manifests: blobs.slice(-1).map((blob) => blob.descriptor) })),
  ]);
}

const describe_ = (mediaType: string, json: unknown, more: Record<string, unknown> = {}) => {
  const bytes = Buffer.from(JSON.stringify(json));
  return { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length, ...more };
};

const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, history: [] };
const empty = { schemaVersion: 2, mediaType: MANIFEST, config: describe_(CONFIG, config), layers: [] };
const index = (manifests: readonly unknown[], more: Record<string, unknown> = {}) => ({
  schemaVersion: 2,
  mediaType: INDEX,
  manifests,
  ...more,
});

function nested(depth: number): Buffer {
  const documents: { mediaType: string; json: unknown }[] = [
    { mediaType: CONFIG, json: config },
    { mediaType: MANIFEST, json: empty },
  ];
  let inner: unknown = describe_(MANIFEST, empty);
  for (let i = 0; i < depth; i++) {
    const json = index([inner]);
    documents.push({ mediaType: INDEX, json });
    inner = describe_(INDEX, json);
  }
  return layout(...documents);
}

const wrongSize = index([describe_(MANIFEST, empty, { size: 7 })]);
const two = { ...empty, manifests: [] };
const manyLayers = { ...empty, layers: Array.from({ length: 1001 }, () => describe_(MANIFEST, empty)) };
const hostile: readonly (readonly [string, Buffer])[] = [
  ['an index in an index in an index …', nested(6)],
  [
    'a manifest of another size',
    layout(
      { mediaType: CONFIG, json: config },
      { mediaType: MANIFEST, json: empty },
      { mediaType: INDEX, json: wrongSize },
    ),
  ],
  ['a manifest that is an index too', layout({ mediaType: CONFIG, json: config }, { mediaType: MANIFEST, json: two })],
  ['a thousand and one layers', layout({ mediaType: MANIFEST, json: manyLayers })],
  [
    'ten thousand manifests',
    layout({ mediaType: INDEX, json: index(Array.from({ length: 10_000 }, () => describe_(MANIFEST, empty))) }),
  ],
  ['no JSON', layout({ mediaType: MANIFEST, json: '{"schemaVersion":2,' })],
  ['JSON without end', layout({ mediaType: MANIFEST, json: '['.repeat(200_000) })],
  ['prototypes', layout({ mediaType: MANIFEST, json: '{"schemaVersion":2,"__proto__":{"layers":[]},"config":null}' })],
  ['a config that is missing', layout({ mediaType: MANIFEST, json: empty })],
  [
    'only an attestation',
    layout(
      { mediaType: CONFIG, json: { ...config, os: 'unknown' } },
      { mediaType: MANIFEST, json: { ...empty, config: describe_(CONFIG, { ...config, os: 'unknown' }) } },
    ),
  ],
  [
    'a digest that is a path',
    tarOf([
      file('oci-layout', '{}'),
      file(
        'index.json',
        JSON.stringify(index([{ mediaType: MANIFEST, digest: 'sha256:../../../etc/passwd', size: 1 }])),
      ),
    ]),
  ],
  ['an index.json of 5 MB', tarOf([file('oci-layout', '{}'), file('index.json', Buffer.alloc(5 << 20, ' '))])],
  [
    'a name that is no name',
    tarOf([
      file('oci-layout', '{}'),
      file(
        'index.json',
        JSON.stringify(
          index([{ ...describe_(MANIFEST, empty), annotations: { 'io.containerd.image.name': '../../x' } }]),
        ),
      ),
    ]),
  ],
];

const load = async (archive: Buffer): Promise<string> => {
  try {
    await loadImages(stores.images, { archive: streamOf(archive), quiet: true, tell: async () => undefined });
    return 'loaded';
  } catch (error) {
    return kindOf(error);
  }
};

test.each(hostile)(
  '%s',
  async (_, archive) => {
    const before = stores.files();
    expect(['data-loss', 'invalid-parameter']).toContain(await load(archive));
    expect(stores.files()).toEqual(before);
    expect(stores.images.list().length).toBe(2);
  },
  60_000,
);

test('damaged anywhere: refused, or what it was before; nothing half-made', async () => {
  const seed = Number(process.env['BERTH_FUZZ_SEED'] ?? randomInt(2 ** 31));
  // Printed with a failure: what is expected carries it.
  let state = seed;
  const random = (bound: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % bound;
  };
  const before = stores.files();
  for (let round = 0; round < 60; round++) {
    const copy = Buffer.from(good);
    const cut = random(3) === 0 ? random(copy.length) : copy.length;
    for (let i = 0; i < 1 + random(4); i++) copy[random(copy.length)] = random(256);
    const outcome = await load(copy.subarray(0, cut));
    expect({
      seed,
      round,
      ok: ['loaded', 'data-loss', 'invalid-parameter', 'not-implemented'].includes(outcome),
    }).toEqual({
      seed,
      round,
      ok: true,
    });
    // A changed name or time is another image, wholly there; it goes again.
    if (outcome === 'loaded') continue;
    for (const image of stores.images.list()) stores.layers.chain(image.chainId);
  }
  for (const { id, tags } of stores.images.list()) if (!tags.includes('good.example/app:1')) stores.images.delete(id);
  await load(good);
  await stores.graph.collect();
  expect(stores.files().length).toBe(before.length);
}, 60_000);
