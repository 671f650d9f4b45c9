/**
 * Registries that lie, break off, never end, or lead elsewhere. Always: a clear error, nothing to see of the image, and
 * the next pull from an honest registry succeeds. Needs root.
 */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import * as zlib from 'node:zlib';
import { Distribution } from '#distribution/distribution.ts';
import { messageOf } from '#errdefs/errors.ts';
import { configOf, file, openStores, packed, tarOf, type TestImage, type TestStores } from '#image/testing/archives.ts';
import { parseReference } from '#reference/reference.ts';
import { anonymous, type Credentials } from '#registry/credentials.ts';
import { defaultRegistrySettings, type RegistrySettings } from '#registry/settings.ts';
import { must } from '../support/command.ts';
import { digestOf, type Lie, LyingRegistry, wire } from '../support/lying-registry.ts';

const image: TestImage = {
  tags: [],
  layers: [tarOf([file('a', 'a'.repeat(5000))]), tarOf([file('b', 'b'.repeat(5000)), file('c/d', 'x')])],
};
const config = configOf(image);
const layers = image.layers.map((layer) => packed(layer, 'gzip'));

let registry: LyingRegistry;
let stores: TestStores;
let settings: RegistrySettings;
let distribution: Distribution;

beforeEach(async () => {
  registry = await LyingRegistry.start();
  registry.image('1', config, layers);
  stores = await openStores();
  settings = { ...defaultRegistrySettings, certificateDirectories: [], attemptsMax: 2 };
  const { images, content, db } = stores;
  distribution = new Distribution({ images, content, db, settings: () => settings });
});
afterEach(async () => {
  distribution.close();
  await stores[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

const told: string[] = [];
async function pull(credentials: Credentials = anonymous, signal?: AbortSignal): Promise<string> {
  told.length = 0;
  try {
    const reference = parseReference(`${registry.host}/app:1`);
    const tell = async (message: { status?: string }) => void told.push(message.status ?? '');
    await distribution.pull({ reference, credentials, tell, signal });
    return 'pulled';
  } catch (error) {
    return messageOf(error);
  }
}

/** Nothing of an image, its layers or their files. */
function nothingThere(): void {
  expect(stores.images.list()).toEqual([]);
  expect(stores.layers.list()).toEqual([]);
  expect(stores.driver.list()).toEqual([]);
}

async function thenAnHonestOneWorks(): Promise<void> {
  registry.lie = (_, truth) => truth;
  expect(await pull()).toBe('pulled');
  expect(stores.images.list().map(({ id }) => id)).toEqual([digestOf(config)]);
  expect(stores.layers.list().length).toBe(2);
}

const isBlob = (path: string, bytes: Uint8Array): boolean => path.endsWith(`/blobs/${digestOf(bytes)}`);
const top = layers[1] ?? new Uint8Array();

describe('what is not what it says', () => {
  const otherLayer = packed(tarOf([file('evil', 'x')]), 'gzip');
  const sameLength = Buffer.from(top);
  sameLength[sameLength.length - 20] = (sameLength[sameLength.length - 20] ?? 0) ^ 1;
  const blob =
    (bytes: Uint8Array, body: Uint8Array): Lie =>
    (asked, truth) =>
      isBlob(asked.path, bytes) ? { ...truth, body } : truth;
  const lies: readonly (readonly [string, Lie, RegExp])[] = [
    ['a layer of another digest', blob(top, sameLength), /layer verification failed for digest sha256:/],
    ['a layer of another length', blob(top, otherLayer), /its descriptor says|longer than/],
    ['a layer that is none', blob(top, new Uint8Array(top.length)), /layer verification failed/],
    [
      'a configuration of another digest',
      blob(config, Buffer.alloc(config.length, 0x20)),
      /config verification failed/,
    ],
    ['a configuration that is longer', blob(config, Buffer.alloc(config.length + 1)), /longer than|descriptor says/],
    [
      'a manifest of another digest',
      (asked, truth) =>
        asked.path.includes('/manifests/') && asked.method === 'GET'
          ? { ...truth, body: Buffer.concat([truth.body ?? Buffer.alloc(0), Buffer.from(' ')]) }
          : truth,
      /manifest verification failed for digest/,
    ],
    [
      'a manifest of another type',
      (asked, truth) =>
        asked.path.includes('/manifests/')
          ? { ...truth, headers: { ...truth.headers, 'Content-Type': 'application/vnd.oci.image.index.v1+json' } }
          : truth,
      /invalid image manifest/,
    ],
    [
      'a page instead of a manifest',
      (asked, truth) =>
        asked.path.includes('/manifests/') ? { status: 200, body: Buffer.from('<html>hello</html>') } : truth,
      /invalid image manifest: not JSON/,
    ],
  ];
  test.each(lies.map(([name, lie, wanted]) => [name, lie, wanted] as const))('%s', async (_, lie, wanted) => {
    registry.lie = lie;
    const said = await pull();
    expect(said).toMatch(wanted);
    expect(said).toContain(registry.host);
    nothingThere();
    await thenAnHonestOneWorks();
  });
});

describe('manifests that are traps', () => {
  const bare = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(config), size: 3 };
  const index = 'application/vnd.oci.image.index.v1+json';
  const traps: readonly (readonly [string, string, () => unknown, RegExp])[] = [
    [
      'schema 1',
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      () => ({ schemaVersion: 1, name: 'app', tag: '1', fsLayers: [], history: [] }),
      /schema 1 is not supported/,
    ],
    [
      'a million layers',
      'application/vnd.oci.image.manifest.v1+json',
      () => `{"schemaVersion":2,"config":{},"layers":[${'{},'.repeat(1_000_000)}{}]}`,
      /more than \d+ (?:bytes|layers)|longer than/,
    ],
    [
      'a hundred thousand layers that fit',
      'application/vnd.oci.image.manifest.v1+json',
      () => ({ schemaVersion: 2, config: bare, layers: Array.from({ length: 20_000 }, () => bare) }),
      /more than \d+ layers/,
    ],
    [
      'a layer of a negative size',
      index.replace('index', 'manifest'),
      () => ({ schemaVersion: 2, config: bare, layers: [{ ...bare, size: -1 }] }),
      /is no size/,
    ],
    [
      'a digest that is a path',
      index,
      () => ({ schemaVersion: 2, manifests: [{ ...bare, digest: 'sha256:../../../etc/passwd' }] }),
      /no sha256 or sha512 digest/,
    ],
    [
      'an index without this platform',
      index,
      () => ({ schemaVersion: 2, manifests: [{ ...bare, platform: { os: 'plan9', architecture: 'mips' } }] }),
      /no matching manifest/,
    ],
    [
      'a manifest and an index at once',
      index,
      () => ({ schemaVersion: 2, manifests: [], layers: [], config: bare }),
      /manifest and an index at once/,
    ],
  ];
  test.each(traps.map(([name, type, make, wanted]) => [name, type, make, wanted] as const))(
    '%s',
    async (_, type, make, wanted) => {
      registry.manifest('1', type, make());
      expect(await pull()).toMatch(wanted);
      nothingThere();
    },
  );

  test('an index that leads back to itself, by a server that gives any digest', async () => {
    const inner = { mediaType: index, digest: digestOf(config), size: 10 };
    registry.manifest('1', index, { schemaVersion: 2, manifests: [inner] });
    const bytes = registry.manifests.get('1')?.bytes ?? new Uint8Array();
    registry.lie = (asked, truth) =>
      asked.path.includes('/manifests/sha256:')
        ? { status: 200, headers: { 'Content-Type': index }, body: bytes }
        : truth;
    expect(await pull()).toContain('manifest verification failed');
    // As deep as it likes, with digests that are right.
    registry.lie = (_, truth) => truth;
    let digest = registry.image('x', config, layers);
    for (let depth = 0; depth < 10; depth++) {
      const size = registry.manifests.get(digest)?.bytes.length ?? 0;
      digest = registry.manifest('1', index, { schemaVersion: 2, manifests: [{ mediaType: index, digest, size }] });
    }
    expect(await pull()).toContain('nested too deeply');
    nothingThere();
  });
});

/** Of the bytes of every answer so many are left out between two breaks; CUT_EVERY=1 tries each. */
const cutEvery = Number(process.env['CUT_EVERY'] ?? 23);

describe('a connection that breaks after every byte of an answer: a clear error or an image, never something else', () => {
  const bottom = layers[0] ?? new Uint8Array();
  const answers: readonly (readonly [string, (path: string) => boolean])[] = [
    ['the first answer', (path) => path === '/v2/'],
    ['the manifest', (path) => path.includes('/manifests/')],
    ['the configuration', (path) => isBlob(path, config)],
    ['the lower layer', (path) => isBlob(path, bottom)],
    ['the upper layer', (path) => isBlob(path, top)],
  ];
  test.each(answers.map(([name, isIt]) => [name, isIt] as const))(
    '%s',
    async (_, isIt) => {
      settings = { ...settings, attemptsMax: 1 };
      let length = 0;
      registry.lie = (asked, truth) => {
        if (isIt(asked.path)) length = Math.max(length, wire(asked, truth).length);
        return truth;
      };
      expect(await pull()).toBe('pulled');
      const forget = async (): Promise<void> => {
        for (const { id } of stores.images.list()) stores.images.delete(id);
        await stores.graph.collect();
        stores.content.collect();
      };
      await forget();
      for (let cut = 0; cut < length; cut += cutEvery) {
        // What has come is continued: a request for the rest is answered whole.
        registry.lie = (asked, truth) =>
          isIt(asked.path) && !asked.headers.has('range') ? { bytes: wire(asked, truth).subarray(0, cut) } : truth;
        const said = await pull();
        if (said !== 'pulled') {
          expect(said).toMatch(/"http:\/\/127\.0\.0\.1:\d+\/v2\/|verification failed|invalid image/);
          nothingThere();
        }
        await forget();
      }
      await thenAnHonestOneWorks();
    },
    600_000,
  );
});

test('a download that broke off is continued, not begun again', async () => {
  const big = zlib.gzipSync(
    tarOf([file('big', Buffer.from(Array.from({ length: 300_000 }, () => Math.random().toString(36)).join('')))]),
    { level: 1 },
  );
  const bigConfig = configOf({ tags: [], layers: [zlib.gunzipSync(big)] });
  registry.image('1', bigConfig, [big]);
  const half = big.length >> 1;
  registry.lie = (asked, truth) =>
    isBlob(asked.path, big) && asked.before === 0 ? { bytes: wire(asked, truth).subarray(0, half) } : truth;
  expect(await pull()).toBe('pulled');
  const ranges = registry.asked
    .filter(({ path }) => isBlob(path, big))
    .map(({ headers }) => headers.get('range') ?? '');
  expect(ranges[0]).toBe('');
  expect(ranges[1]).toMatch(/^bytes=[1-9][0-9]+-$/);
});

test('a blob in ranges over several connections, one of which breaks', async () => {
  settings = { ...settings, rangesFrom: 1 << 20, attemptsMax: 3 };
  const content = Buffer.alloc(20 << 20);
  for (let i = 0; i < content.length; i += 4) content.writeUInt32LE((i * 2654435761) % 4294967296, i);
  const layer = tarOf([file('big', content)]);
  registry.image('1', configOf({ tags: [], layers: [layer] }), [layer]);
  let broken = false;
  registry.lie = (asked, truth) => {
    const range = asked.headers.get('range') ?? '';
    if (!isBlob(asked.path, layer) || broken || !range.startsWith('bytes=8388608-')) return truth;
    broken = true;
    return { bytes: wire(asked, truth).subarray(0, 100_000) };
  };
  expect(await pull()).toBe('pulled');
  expect(broken).toBe(true);
  const asked = registry.asked.filter(({ path }) => isBlob(path, layer));
  expect(asked.every(({ headers }) => headers.has('range'))).toBe(true);
  expect(asked.length).toBeGreaterThanOrEqual(4);
});

test('an answer that never ends is given up at the size that was promised', async () => {
  registry.lie = (asked, truth) =>
    asked.path.includes('/manifests/') && asked.method === 'GET'
      ? { bytes: Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), endless: Buffer.alloc(65536, 0x20) }
      : truth;
  expect(await pull()).toContain('longer than');
  registry.lie = (asked, truth) =>
    asked.path.includes('/manifests/')
      ? { bytes: Buffer.from('HTTP/1.1 200 OK\r\n'), endless: Buffer.from(`X-Long: ${'a'.repeat(1000)}\r\n`) }
      : truth;
  expect(await pull()).toContain('malformed HTTP response');
  registry.lie = (asked, truth) =>
    isBlob(asked.path, top)
      ? {
          bytes: Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'),
          endless: Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65536), Buffer.from('\r\n')]),
        }
      : truth;
  expect(await pull()).toMatch(/longer than the \d+ bytes|gzip|tar/);
  nothingThere();
  await thenAnHonestOneWorks();
}, 30_000);

test('a registry that says nothing is left when the user goes, and nothing stays', async () => {
  const begun = Promise.withResolvers<void>();
  registry.lie = (asked, truth) => {
    if (!isBlob(asked.path, top)) return truth;
    begun.resolve();
    return { bytes: wire(asked, truth).subarray(0, 150), hang: true };
  };
  const stop = new AbortController();
  const pulling = pull(anonymous, stop.signal);
  await begun.promise;
  stop.abort();
  expect(await pulling).toContain('context canceled');
  nothingThere();
  expect(stores.files().filter((name) => /content\/(?:partial|leases|ingest|blobs\/sha256)\/./.test(name))).toEqual([]);
  await thenAnHonestOneWorks();
});

describe('who is asked for a password', () => {
  const credentials = { ...anonymous, username: 'me', password: 'secret' };
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;

  test('a registry that never has enough', async () => {
    registry.lie = () => ({ status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } });
    expect(await pull(credentials)).toContain('unauthorized');
    expect(registry.asked.length).toBeLessThan(8);
    registry.asked.length = 0;
    registry.lie = (asked) =>
      asked.path.startsWith('/token')
        ? { status: 200, body: Buffer.from('{"token":"t"}') }
        : { status: 401, headers: { 'WWW-Authenticate': `Bearer realm="http://${registry.host}/token",service="s"` } };
    expect(await pull(credentials)).toContain('pull access denied for');
    expect(registry.asked.length).toBeLessThan(16);
  });

  test('tokens: asked for once, for the scope, with the name; used for everything', async () => {
    const scope = encodeURIComponent('repository:app:pull');
    registry.lie = (asked, truth) => {
      if (asked.path.startsWith('/token')) {
        expect(asked.headers.get('authorization')).toBe(basic);
        expect(asked.path).toContain(`scope=${scope}`);
        return { status: 200, body: Buffer.from('{"access_token":"good","expires_in":300}') };
      }
      if (asked.headers.get('authorization') === 'Bearer good') return truth;
      return {
        status: 401,
        headers: { 'WWW-Authenticate': `Bearer realm="http://${registry.host}/token",service="s"` },
      };
    };
    expect(await pull(credentials)).toBe('pulled');
    expect(registry.count('GET /token')).toBe(1);
  });

  test('a redirect gets no credentials, and leads only to http and https', async () => {
    await using elsewhere = await LyingRegistry.start();
    for (const bytes of layers) elsewhere.add(bytes);
    registry.lie = (asked, truth) => {
      if (asked.headers.get('authorization') !== basic) {
        return { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } };
      }
      const layer = layers.find((bytes) => isBlob(asked.path, bytes));
      if (layer === undefined) return truth;
      // Without `localhost` it would be the same name with another port, which is another origin, too.
      const port = elsewhere.host.split(':')[1] ?? '';
      return { status: 307, headers: { Location: `http://user:pass@localhost:${port}/v2/x/blobs/${digestOf(layer)}` } };
    };
    expect(await pull(credentials)).toBe('pulled');
    expect(elsewhere.asked.length).toBe(2);
    for (const { headers } of elsewhere.asked) expect(headers.get('authorization')).toBeUndefined();
  });

  test.each(['file:///etc/passwd', 'ftp://127.0.0.1/x', 'http:///', 'gopher://127.0.0.1:1/'])(
    'a redirect to %s',
    async (location) => {
      registry.lie = (asked, truth) =>
        isBlob(asked.path, top) ? { status: 307, headers: { Location: location } } : truth;
      expect(await pull()).toMatch(/refusing a redirect|no such host|connection refused/);
      nothingThere();
    },
  );

  test('redirects without end', async () => {
    registry.lie = (asked, truth) =>
      isBlob(asked.path, top) ? { status: 302, headers: { Location: asked.path } } : truth;
    expect(await pull()).toContain('stopped after 10 redirects');
    nothingThere();
  });

  test('a token service that is a file', async () => {
    for (const realm of ['file:///etc/passwd', 'nonsense', '']) {
      registry.lie = () => ({ status: 401, headers: { 'WWW-Authenticate': `Bearer realm="${realm}",service="s"` } });
      expect(await pull(credentials)).toMatch(/refusing the token service|as its token service/);
    }
  });
});

test('429: waited for as long as the registry says, and told', async () => {
  registry.lie = (asked, truth) =>
    asked.path.endsWith('/manifests/1') && asked.before === 0
      ? { status: 429, headers: { 'Retry-After': '1' } }
      : truth;
  const begun = performance.now();
  expect(await pull()).toBe('pulled');
  expect(performance.now() - begun).toBeGreaterThan(900);
  expect(told.join('\n')).toContain('Retrying in 1 seconds: the registry refuses more requests for now');
  // Hours are not waited for.
  registry.lie = () => ({
    status: 429,
    headers: { 'Retry-After': '86400' },
    body: Buffer.from('{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}'),
  });
  expect(await pull()).toContain('toomanyrequests: the registry refuses more requests until 86400 s from now');
});

test('what inflates to more than the disk has stops before it is full', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-small-'));
  await must('mount', ['-t', 'tmpfs', '-o', 'size=128m', 'none', root]);
  try {
    await using small = await openStores({ root });
    const { images, content, db } = small;
    const own = new Distribution({ images, content, db, settings: () => settings });
    const zeros = tarOf([file('zeros', Buffer.alloc(256 << 20))]);
    const bomb = packed(zeros, 'gzip');
    expect(bomb.length).toBeLessThan(1 << 20);
    registry.image('1', configOf({ tags: [], layers: [zeros] }), [bomb]);
    const failure = await own.pull({ reference: parseReference(`${registry.host}/app:1`) }).then(
      () => 'pulled',
      (error: unknown) => messageOf(error),
    );
    own.close();
    expect(failure).toMatch(
      /no space left on device: layer sha256:[0-9a-f]{64} has unpacked \d+ bytes of \d+ and goes on/,
    );
    expect(images.list()).toEqual([]);
    await small.driver.emptyTrash();
    expect(small.driver.list()).toEqual([]);
    // The room is there again.
    expect(fs.statfsSync(root).bavail * 4096).toBeGreaterThan(100 << 20);
  } finally {
    await must('umount', ['-l', root]);
    fs.rmSync(root, { recursive: true, force: true });
  }
}, 60_000);

test('two pulls of one image share the work', async () => {
  const [first, second] = await Promise.all([pull(), pull()]);
  expect([first, second]).toEqual(['pulled', 'pulled']);
  for (const layer of layers) expect(registry.count(`GET /v2/app/blobs/${digestOf(layer)}`)).toBe(1);
});

test('a mirror is asked first, without credentials, and passed over when it has nothing', async () => {
  await using mirror = await LyingRegistry.start();
  const root = stores.root;
  fs.mkdirSync(`${root}/certs/${registry.host}`, { recursive: true });
  fs.writeFileSync(
    `${root}/certs/${registry.host}/hosts.toml`,
    `[host."http://${mirror.host}"]\n  capabilities = ["pull", "resolve"]\n`,
  );
  settings = { ...settings, certificateDirectories: [`${root}/certs`] };
  const credentials = { ...anonymous, username: 'me', password: 'secret' };
  registry.lie = (asked, truth) =>
    asked.headers.has('authorization') ? truth : { status: 401, headers: { 'WWW-Authenticate': 'Basic realm="x"' } };
  expect(await pull(credentials)).toBe('pulled');
  expect(mirror.asked.length).toBeGreaterThan(0);
  for (const { headers } of mirror.asked) expect(headers.has('authorization')).toBe(false);
  for (const { id } of stores.images.list()) stores.images.delete(id);
  await stores.graph.collect();
  stores.content.collect();
  mirror.image('1', config, layers);
  registry.asked.length = 0;
  expect(await pull(credentials)).toBe('pulled');
  expect(registry.asked).toEqual([]);
});
