/** load, save and import against every format, both drivers, and readers and writers that are not ours. Needs root. */
import { afterAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import zlib from 'node:zlib';
import type { ProgressMessage } from '#api/types/image.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { importImage } from '#image/import.ts';
import { inspectImage } from '#image/inspect.ts';
import { loadImages } from '#image/load.ts';
import { saveImages } from '#image/save.ts';
import {
  directory,
  file,
  hardlink,
  idOf,
  oldDockerArchive,
  ociLayout,
  openStores,
  streamOf,
  symlink,
  tarOf,
  type TestImage,
  type TestStores,
  treeOf,
} from '#image/testing/archives.ts';
import { bzip2Tar, storedXz } from '../../support/packed.ts';

const base = tarOf([
  directory('bin'),
  file('bin/sh', '#!', { mode: 0o755 }),
  file('etc/old', 'old'),
  symlink('l', 'bin'),
]);
const middle = tarOf([file('etc/.wh.old', ''), file('etc/new', 'new'), hardlink('etc/newer', 'etc/new')]);
const top = tarOf([file('app', 'x'.repeat(100_000))]);
const one: TestImage = { tags: ['example.com/one:1'], layers: [base, middle] };
const two: TestImage = { tags: ['two:latest', 'two:again'], layers: [base, middle, top], config: { Cmd: ['/app'] } };

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-loadsave-'));
afterAll(() => fs.rmSync(scratch, { recursive: true, force: true }));

async function load(stores: TestStores, archive: Buffer, quiet = false): Promise<ProgressMessage[]> {
  const told: ProgressMessage[] = [];
  await loadImages(stores.images, {
    archive: streamOf(archive),
    quiet,
    tell: async (message) => void told.push(message),
  });
  return told;
}

async function save(stores: TestStores, names: readonly string[]): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  await saveImages(stores.images, { names, write: async (bytes) => void parts.push(Buffer.from(bytes)) });
  return Buffer.concat(parts);
}

/** Paths and contents of an image's file system. */
function filesOf(stores: TestStores, name: string): string[] {
  const { chainId } = stores.images.resolve(name);
  if (chainId === undefined) return [];
  using mount = stores.layers.mount(chainId);
  return treeOf(`/proc/self/fd/${mount.fd}/`);
}

const oneFiles = ['bin', 'bin/sh', 'etc', 'etc/new', 'etc/newer', 'l'];

describe.each(['overlay', 'vfs'])('%s', (driver) => {
  for (const [format, archive] of [
    ['docker-archive', oldDockerArchive([one, two])],
    ['docker-archive in gzip', zlib.gzipSync(oldDockerArchive([one, two]))],
    ['docker-archive in zstd', zlib.zstdCompressSync(oldDockerArchive([one, two]))],
    ['docker-archive in xz', storedXz(oldDockerArchive([one, two]))],
    ['docker-archive of xz', oldDockerArchive([one, two], storedXz)],
    ['OCI layout', ociLayout([one, two], 'plain')],
    ['OCI layout of gzip', ociLayout([one, two], 'gzip')],
    ['OCI layout of zstd', ociLayout([one, two], 'zstd')],
  ] as const) {
    test(`load ${format}, save, load what was saved`, async () => {
      await using stores = await openStores({ driver });
      const told = await load(stores, archive);
      const lines = told.flatMap(({ stream }) => (stream === undefined ? [] : [stream]));
      expect(lines.sort((a, b) => (a < b ? -1 : 1))).toEqual([
        'Loaded image: example.com/one:1\n',
        'Loaded image: two:again\n',
        'Loaded image: two:latest\n',
      ]);
      expect(told.some(({ status, id }) => status === 'Loading layer' && id?.length === 12)).toBe(true);
      expect(stores.images.resolve('example.com/one:1').id).toBe(idOf(one));
      expect(stores.images.resolve('two').id).toBe(idOf(two));
      expect(filesOf(stores, 'example.com/one:1')).toEqual(oneFiles);
      expect(filesOf(stores, 'two')).toEqual(['app', ...oneFiles]);
      expect(fs.readdirSync(path.join(stores.root, 'content/ingest'))).toEqual([]);
      // Loading again changes nothing.
      const before = stores.files();
      await load(stores, archive, true);
      expect(stores.files()).toEqual(before);

      const saved = await save(stores, ['example.com/one:1', 'two']);
      expect((await save(stores, ['example.com/one:1', 'two'])).equals(saved)).toBe(true);
      await using other = await openStores({ driver });
      await load(other, saved);
      expect(other.images.resolve('two:again').id).toBe(idOf(two));
      expect(filesOf(other, 'two')).toEqual(['app', ...oneFiles]);
    });
  }
});

test('import of what only xz and bzip2 read keeps a plain tar', async () => {
  await using stores = await openStores();
  const tars = { 'from-xz': storedXz(top), 'from-bzip2': bzip2Tar };
  for (const [repo, archive] of Object.entries(tars)) {
    const rest = { tag: '', message: '', changes: [], platform: '', tell: async () => undefined };
    await importImage(stores.images, { archive: streamOf(archive), repo, ...rest });
  }
  expect(filesOf(stores, 'from-bzip2')).toEqual(['f']);
  expect(filesOf(stores, 'from-xz')).toEqual(['app']);
  expect(stores.layers.list().map(({ blob }) => blob.compression)).toEqual(['plain', 'plain']);
  expect(fs.readdirSync(path.join(stores.root, 'content/ingest'))).toEqual([]);
  await using other = await openStores();
  await load(other, await save(stores, ['from-xz', 'from-bzip2']));
  expect(filesOf(other, 'from-bzip2')).toEqual(['f']);
});

describe.each(['overlay', 'vfs'])('at once, %s', (driver) => {
  test('the same archive by four clients, while images are removed', async () => {
    await using stores = await openStores({ driver });
    const archives = [
      oldDockerArchive([one, two]),
      ociLayout([two], 'gzip'),
      ociLayout([one, two], 'plain'),
      oldDockerArchive([one]),
    ];
    for (let round = 0; round < 3; round++) {
      await Promise.all([...archives.map((archive) => load(stores, archive, true)), stores.graph.collect()]);
      expect(filesOf(stores, 'example.com/one:1')).toEqual(oneFiles);
      expect(filesOf(stores, 'two')).toEqual(['app', ...oneFiles]);
      expect(stores.driver.list().length).toBe(3);
      // Two configurations, three layers, and the three manifests of the layouts.
      stores.content.collect();
      expect(stores.content.list().length).toBe(8);
      for (const { id } of stores.images.list()) stores.images.delete(id);
      await stores.graph.collect();
      expect(stores.driver.list()).toEqual([]);
      stores.content.collect();
      expect(stores.content.list()).toEqual([]);
    }
  });
});

test('a name that moves to another image is told of', async () => {
  await using stores = await openStores();
  await load(stores, oldDockerArchive([one]));
  const moved: TestImage = { tags: one.tags, layers: [base] };
  const told = await load(stores, oldDockerArchive([moved]), true);
  expect(told).toEqual([
    {
      stream: `The image example.com/one:1 already exists, renaming the old one with ID ${idOf(one)} to empty string\n`,
    },
    { stream: 'Loaded image: example.com/one:1\n' },
  ]);
  expect(stores.images.get(idOf(one)).tags).toEqual([]);
});

test('an image of 300 layers', async () => {
  await using stores = await openStores();
  const layers = Array.from({ length: 300 }, (_, n) => tarOf([file(`f${n}`, String(n))]));
  await load(stores, oldDockerArchive([{ tags: ['deep:1'], layers }]), true);
  expect(filesOf(stores, 'deep:1').length).toBe(300);
});

test('images survive a new start', async () => {
  const root = path.join(scratch, 'restart');
  fs.mkdirSync(root);
  {
    await using stores = await openStores({ root });
    await load(stores, oldDockerArchive([one, two]));
  }
  await using stores = await openStores({ root });
  expect(
    stores.images
      .list()
      .map((image) => image.id)
      .sort(),
  ).toEqual([idOf(one), idOf(two)].sort());
  expect(filesOf(stores, 'two')).toEqual(['app', ...oneFiles]);
});

test('an image whose configuration was damaged is left out, and repaired by loading it again', async () => {
  const root = path.join(scratch, 'damaged');
  fs.mkdirSync(root);
  {
    await using stores = await openStores({ root });
    await load(stores, oldDockerArchive([one, two]));
    fs.writeFileSync(stores.content.path(idOf(one)), '{}');
  }
  await using stores = await openStores({ root });
  expect(stores.images.list().map((image) => image.id)).toEqual([idOf(two)]);
  expect(() => stores.images.resolve('example.com/one:1')).toThrow('No such image');
  await load(stores, oldDockerArchive([one, two]));
  expect(filesOf(stores, 'example.com/one:1')).toEqual(oneFiles);
});

describe('what is wrong leaves nothing', () => {
  const damaged = (name: string, bytes: Buffer): Buffer => {
    // Layers only: JSON starts with a brace.
    if (!name.startsWith('blobs/') || bytes[0] === 0x7b) return bytes;
    const copy = Buffer.from(bytes);
    const at = Math.min(600, bytes.length - 20);
    copy[at] = (copy[at] ?? 0) ^ 1;
    return copy;
  };
  const whole = oldDockerArchive([one, two]);
  const lying: TestImage = {
    ...one,
    more: { rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`, `sha256:${'1'.repeat(64)}`] } },
  };
  const evil = (members: Parameters<typeof tarOf>[0]): Buffer =>
    oldDockerArchive([one, { tags: ['evil:1'], layers: [base, tarOf(members)] }]);
  const cases: [string, Buffer, RegExp][] = [
    ['truncated in a layer', whole.subarray(0, 9000), /unexpected EOF/],
    ['truncated before the manifest', whole.subarray(0, whole.length - 4096), /unexpected EOF|manifest/],
    ['truncated gzip', zlib.gzipSync(whole).subarray(0, 300), /gzip|unexpected EOF/],
    ['empty', Buffer.alloc(0), /neither manifest.json nor index.json/],
    ['no tar', Buffer.from('this is no archive at all'.repeat(100)), /invalid tar header/],
    ['no manifest', tarOf([file('x', 'y')]), /neither manifest.json nor index.json/],
    ['manifest is no JSON', tarOf([file('manifest.json', '{')]), /invalid manifest.json/],
    ['manifest is no list', tarOf([file('manifest.json', '{}')]), /invalid manifest.json/],
    ['config is missing', tarOf([file('manifest.json', '[{"Config":"a.json","Layers":[]}]')]), /"a.json" is missing/],
    ['wrong DiffId', oldDockerArchive([two, lying]), /invalid diffID for layer 0: expected "sha256:000/],
    ['blob is not its digest', ociLayout([one, two], 'plain', damaged), /is not what its name says|invalid tar header/],
    ['gzip blob is damaged', ociLayout([two], 'gzip', damaged), /is not what its name says|gzip:|invalid/],
    ['bad name', oldDockerArchive([{ ...one, tags: ['Bad:1'] }]), /must be lowercase/],
    ['path leaves the layer', evil([file('../../evil', 'x')]), /is outside of the layer/],
    ['hard link leaves the layer', evil([hardlink('x', '../../../../etc/passwd')]), /invalid hardlink/],
    ['whiteout of ..', evil([file('a/.wh...', '')]), /is outside of the layer/],
    ['fifo in the archive', tarOf([{ entry: { ...directory('x').entry, type: 'fifo' } }]), /is a fifo/],
    [
      'too many layers',
      oldDockerArchive([{ tags: [], layers: Array.from({ length: 501 }, () => tarOf([])) }]),
      /more than 500 layers/,
    ],
  ];
  for (const [name, archive, message] of cases) {
    test(name, async () => {
      await using stores = await openStores();
      const before = stores.files();
      const failed = await load(stores, archive).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(messageOf(failed)).toMatch(message);
      expect(['data-loss', 'invalid-parameter', 'system']).toContain(kindOf(failed));
      expect(stores.images.list().filter((image) => image.tags.some((tag) => tag.startsWith('evil')))).toEqual([]);
      expect(stores.files().filter((entry) => !before.includes(entry))).toEqual([]);
    });
  }

  test('a link to the outside is followed inside the layer only', async () => {
    const canary = path.join(scratch, 'canary');
    fs.mkdirSync(canary);
    await using stores = await openStores();
    const layer = tarOf([
      directory('in'),
      symlink('out', canary),
      directory(canary.slice(1)),
      file('out/file', 'mine'),
      symlink('up', '../../../..'),
      file('up/top', 'x'),
    ]);
    await load(stores, oldDockerArchive([{ tags: ['tricky:1'], layers: [layer] }]));
    expect(fs.readdirSync(canary)).toEqual([]);
    expect(filesOf(stores, 'tricky:1')).toContain(`${canary.slice(1)}/file`);
    expect(filesOf(stores, 'tricky:1')).toContain('top');
  });

  test('cancelled', async () => {
    await using stores = await openStores();
    const before = stores.files();
    const stop = new AbortController();
    const archive = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of streamOf(whole, 8192)) {
        yield piece;
        stop.abort();
      }
    };
    const failed = await loadImages(stores.images, {
      archive: archive(),
      quiet: true,
      tell: async () => undefined,
      signal: stop.signal,
    }).catch(kindOf);
    expect(failed).toBe('cancelled');
    expect(stores.files()).toEqual(before);
  });
});

describe('import', () => {
  test('configuration by --change, name, message', async () => {
    await using stores = await openStores();
    const told: ProgressMessage[] = [];
    const id = await importImage(stores.images, {
      archive: streamOf(zlib.gzipSync(base)),
      repo: 'imported',
      tag: '',
      message: 'by hand',
      changes: [
        'CMD ["/bin/sh", "-x"]',
        'ENTRYPOINT run me',
        'ENV A=1 B="two words"',
        'ENV A=3',
        'EXPOSE 80 53/udp',
        'LABEL k=v',
        'USER 1000:1000',
        'VOLUME /data /more',
        'WORKDIR /srv',
        'WORKDIR sub',
        'STOPSIGNAL SIGINT',
        'HEALTHCHECK --interval=5s --retries=2 CMD curl -f x',
        'ONBUILD RUN x',
      ],
      platform: '',
      tell: async (message) => void told.push(message),
    });
    expect(told).toEqual([{ status: id }]);
    const { Config: config, Comment: comment, RepoTags: tags } = inspectImage(stores.images, 'imported');
    expect(tags).toEqual(['imported:latest']);
    expect(comment).toBe('by hand');
    expect(config).toMatchObject({
      Cmd: ['/bin/sh', '-x'],
      Entrypoint: ['/bin/sh', '-c', 'run me'],
      Env: ['A=3', 'B=two words'],
      ExposedPorts: { '80/tcp': {}, '53/udp': {} },
      Labels: { k: 'v' },
      User: '1000:1000',
      Volumes: { '/data': {}, '/more': {} },
      WorkingDir: '/srv/sub',
      StopSignal: 'SIGINT',
      Healthcheck: { Test: ['CMD-SHELL', 'curl -f x'], Interval: 5e9, Retries: 2 },
      OnBuild: ['RUN x'],
    });
    expect(filesOf(stores, 'imported')).toContain('bin/sh');
  });

  test('what is no tar, and a wrong change, leave nothing', async () => {
    await using stores = await openStores();
    const before = stores.files();
    const attempt = (archive: Buffer, changes: string[]): Promise<unknown> =>
      importImage(stores.images, {
        archive: streamOf(archive),
        repo: '',
        tag: '',
        message: '',
        changes,
        platform: '',
        tell: async () => undefined,
      }).catch(messageOf);
    expect(await attempt(Buffer.alloc(2000, 7), [])).toContain('invalid tar header');
    expect(await attempt(base, ['RUN x'])).toBe('RUN is not a valid change command');
    expect(await attempt(base, ['EXPOSE x'])).toBe('invalid containerPort: x');
    expect(stores.files()).toEqual(before);
  });
});

describe('others read what we save, and we read what they write', () => {
  const run = (command: string[]): string => {
    const done = Bun.spawnSync(command, { stdout: 'pipe', stderr: 'pipe' });
    if (done.exitCode !== 0) throw new Error(`${command.join(' ')}: ${done.stderr.toString()}`);
    return done.stdout.toString();
  };

  test('skopeo', async () => {
    await using stores = await openStores();
    await load(stores, ociLayout([one, two], 'gzip'));
    const saved = path.join(scratch, 'saved.tar');
    fs.writeFileSync(saved, await save(stores, ['two:again']));
    for (const source of [`docker-archive:${saved}`, `oci-archive:${saved}`]) {
      const config = run(['skopeo', 'inspect', '--config', '--raw', source]);
      expect(JSON.parse(config)).toMatchObject({ config: { Cmd: ['/app'] } });
    }
    const back = path.join(scratch, 'back.tar');
    run(['skopeo', 'copy', '-q', '--insecure-policy', `docker-archive:${saved}`, `docker-archive:${back}:two:again`]);
    const oci = path.join(scratch, 'oci.tar');
    run(['skopeo', 'copy', '-q', '--insecure-policy', `docker-archive:${saved}`, `oci-archive:${oci}:two:again`]);
    for (const archive of [back, oci]) {
      await using other = await openStores();
      await load(other, fs.readFileSync(archive));
      expect(filesOf(other, 'two:again')).toEqual(['app', ...oneFiles]);
      expect(other.images.resolve('two:again').config.config?.Cmd).toEqual(['/app']);
    }
  });

  test("Debian's dockerd", async () => {
    const root = path.join(scratch, 'dockerd');
    fs.mkdirSync(root);
    const socket = path.join(root, 'docker.sock');
    const log = path.join(root, 'log');
    const dockerd = Bun.spawn(
      [
        'dockerd',
        ...['--data-root', path.join(root, 'data'), '--exec-root', path.join(root, 'exec')],
        ...['--pidfile', path.join(root, 'pid'), '-H', `unix://${socket}`],
        ...['--bridge=none', '--iptables=false', '--ip-forward=false', '--storage-driver=overlay2'],
      ],
      { stdout: 'ignore', stderr: Bun.file(log) },
    );
    try {
      const docker = (...words: string[]): string => run(['docker', '-H', `unix://${socket}`, ...words]);
      const deadline = Date.now() + 60_000;
      for (;;) {
        if (Bun.spawnSync(['docker', '-H', `unix://${socket}`, 'version']).success) break;
        if (Date.now() > deadline) throw new Error(`dockerd does not answer: ${fs.readFileSync(log, 'utf8')}`);
        await Bun.sleep(200);
      }
      await using stores = await openStores();
      for (const packing of ['plain', 'gzip', 'zstd'] as const) {
        await load(stores, ociLayout([one, two], packing));
        const saved = path.join(root, `${packing}.tar`);
        fs.writeFileSync(saved, await save(stores, ['example.com/one:1', 'two']));
        expect(docker('load', '-i', saved)).toContain('Loaded image: two:again\n');
        expect(docker('image', 'inspect', '-f', '{{.Id}}', 'two:again', 'example.com/one:1')).toBe(
          `${idOf(two)}\n${idOf(one)}\n`,
        );
        const theirs = path.join(root, `${packing}-back.tar`);
        docker('save', '-o', theirs, 'two:again');
        await using other = await openStores();
        await load(other, fs.readFileSync(theirs));
        expect(other.images.resolve('two:again').id).toBe(idOf(two));
        expect(filesOf(other, 'two:again')).toEqual(['app', ...oneFiles]);
        docker('rmi', 'two:again', 'two:latest', 'example.com/one:1');
      }
    } finally {
      dockerd.kill('SIGTERM');
      await dockerd.exited;
    }
  }, 120_000);
});
