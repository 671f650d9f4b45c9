/** What a build leaves: several platforms behind one name, manifests as they were wished for, statements, archives. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const LIMIT_MS = 120_000;
let daemon: TestDaemon;
let registry: TestRegistry;
beforeAll(async () => {
  [daemon, registry] = await Promise.all([TestDaemon.start(), TestRegistry.start()]);
}, LIMIT_MS);
afterAll(async () => {
  await Promise.all([daemon, registry].map((one) => one?.[Symbol.asyncDispose]()));
}, LIMIT_MS);

const build = (directory: BuildDirectory, ...args: readonly string[]) =>
  daemon.berth(['build', '--progress=plain', ...args, directory.path], { limitMs: LIMIT_MS });

async function built(directory: BuildDirectory, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await build(directory, ...args);
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
}

// as: an object of JSON has string keys with unknown values.
const parsed = (text: string) => JSON.parse(text) as Readonly<Record<string, unknown>>;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
}
/** With all that it said where it did not end so. */
function ended(
  ran: { readonly code: number; readonly stderr: string },
  code: number,
  said: string | RegExp = '',
): void {
  expect([ran.code, ran.code === code ? '' : ran.stderr]).toEqual([code, '']);
  expect(ran.stderr).toMatch(typeof said === 'string' ? new RegExp(RegExp.escape(said)) : said);
}

interface Document {
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly layers: readonly Descriptor[];
  readonly config: Descriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

const TYPES = [
  'oci.image.index',
  'oci.image.manifest',
  'docker.distribution.manifest',
  'docker.distribution.manifest.list',
];

/** As a registry has it. */
async function fetched(name: string, reference: string): Promise<Document & { readonly digest: string }> {
  const accept = TYPES.flatMap((type) => [`application/vnd.${type}.v1+json`, `application/vnd.${type}.v2+json`]).join();
  const response = await fetch(`http://${registry.host}/v2/${name}/manifests/${reference}`, { headers: { accept } });
  expect(response.status).toBe(200);
  const document = (await response.json()) as Document;
  return { ...document, digest: response.headers.get('docker-content-digest') ?? '' };
}

async function blob(name: string, { digest }: Descriptor): Promise<unknown> {
  return (await fetch(`http://${registry.host}/v2/${name}/blobs/${digest}`)).json();
}

const CROSS = [
  `FROM --platform=$BUILDPLATFORM ${BASE} AS make`,
  'ARG TARGETARCH TARGETVARIANT TARGETPLATFORM BUILDPLATFORM',
  'RUN echo "$TARGETPLATFORM of $BUILDPLATFORM: $TARGETARCH $TARGETVARIANT" > /made',
  'FROM scratch',
  'COPY --from=make /made /made',
  'CMD ["/made"]',
].join('\n');

describe('several platforms', () => {
  test(
    'stages of this host build for others; one name, an index that is pushed whole, files by platform',
    async () => {
      using directory = new BuildDirectory(CROSS);
      const name = `${registry.host}/cross:1`;
      const out = path.join(directory.path, 'out');
      const archive = path.join(directory.path, 'image.tar');
      const layout = path.join(directory.path, 'layout');
      const platforms = ['--platform', 'linux/amd64,linux/arm64', '--platform', 'linux/arm/v7'];
      const outputs = ['-o', `type=image,name=${name},push=true`, '-o', out, '-o', `type=tar,dest=${archive}`];
      await built(directory, ...platforms, ...outputs, '-o', `type=oci,dest=${layout},tar=false`);
      const index = await fetched('cross', '1');
      const shown = index.manifests.map(({ platform }) => JSON.stringify(platform));
      expect(shown).toEqual([
        '{"architecture":"amd64","os":"linux"}',
        '{"architecture":"arm64","os":"linux"}',
        '{"architecture":"arm","os":"linux","variant":"v7"}',
      ]);
      const read = (below: string): string => fs.readFileSync(path.join(out, below, 'made'), 'utf8');
      expect(read('linux_amd64')).toBe('linux/amd64 of linux/amd64: amd64 \n');
      expect(read('linux_arm64')).toBe('linux/arm64 of linux/amd64: arm64 \n');
      expect(read('linux_arm_v7')).toBe('linux/arm/v7 of linux/amd64: arm v7\n');
      expect(fs.readFileSync(archive).includes('linux_arm64/made')).toBe(true);
      expect(fs.existsSync(path.join(layout, 'blobs/sha256', index.digest.slice(7)))).toBe(true);
      const architecture = (...args: readonly string[]) =>
        daemon.must(['image', 'inspect', ...args, '-f', '{{.Architecture}}', name]);
      expect(await architecture()).toBe('amd64');
      const skopeo = Bun.spawnSync([
        'skopeo',
        'inspect',
        '--tls-verify=false',
        '--override-arch=arm64',
        `docker://${name}`,
      ]);
      expect(skopeo.stdout.toString()).toContain('"Architecture": "arm64"');
    },
    LIMIT_MS,
  );

  test(
    'a RUN for a platform that nothing here runs names itself and what is missing',
    async () => {
      using directory = new BuildDirectory(`FROM scratch\nCOPY Dockerfile /\nRUN ["/never", "here"]\n`);
      const failed = await build(directory, '--platform', 'linux/s390x');
      ended(failed, 1, /linux\/s390x on this host, for "RUN \/never here".*binfmt_misc.*qemu-user-static/);
    },
    LIMIT_MS,
  );
});

test(
  'a RUN of another architecture goes by the interpreter that the kernel has for it',
  async () => {
    const entries = '/proc/sys/fs/binfmt_misc';
    using undo = new DisposableStack();
    if (!fs.existsSync(path.join(entries, 'register'))) {
      expect(Bun.spawnSync(['mount', '-t', 'binfmt_misc', 'none', entries]).exitCode).toBe(0);
      undo.defer(() => Bun.spawnSync(['umount', entries]));
    }
    using directory = new BuildDirectory('FROM scratch\nCOPY program /\nRUN ["/program"]\n');
    // What it interprets it shows: a busybox that is called so.
    const interpreter = path.join(directory.path, 'cat');
    fs.copyFileSync('/bin/busybox', interpreter);
    const name = `berth-test-${process.pid}`;
    const magic = '\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00\\xf3\\x00';
    fs.writeFileSync(path.join(entries, 'register'), `:${name}:M:0:${magic}::${interpreter}:F`);
    undo.defer(() => fs.writeFileSync(path.join(entries, name), '-1'));
    const header = Buffer.from('7f454c460201010000000000000000000200f300', 'hex');
    directory.write('program', Buffer.concat([header, Buffer.from('\nof another world\n')]), 0o755);
    const made = await build(directory, '--platform', 'linux/riscv64', '-t', 'riscv:1');
    ended(made, 0, 'of another world');
    expect(await daemon.must(['inspect', '-f', '{{.Architecture}}', 'riscv:1'])).toBe('riscv64');
  },
  LIMIT_MS,
);

describe('the image', () => {
  test(
    'has the compression, types and annotations that were asked for; goes by its digest alone',
    async () => {
      using directory = new BuildDirectory(`FROM ${BASE}\nRUN echo 1 > /1\nRUN echo 2 > /2\n`);
      const name = `${registry.host}/wished`;
      await built(
        directory,
        ...['-t', `${name}:zstd`, '--push', '--annotation', 'a=1', '--annotation', 'index:b=2'],
        ...['-o', 'type=image,compression=zstd,force-compression=true,compression-level=5'],
      );
      const index = await fetched('wished', 'zstd');
      expect([index.mediaType, index.annotations]).toEqual(['application/vnd.oci.image.index.v1+json', { b: '2' }]);
      const manifest = await fetched('wished', index.manifests[0]?.digest ?? '');
      expect(manifest.annotations).toEqual({ a: '1' });
      const zstd = 'application/vnd.oci.image.layer.v1.tar+zstd';
      expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual([zstd, zstd, zstd]);
      const other = await build(
        directory,
        '-o',
        `type=image,name=${registry.host}/digest,push=true,push-by-digest=true`,
        '--metadata-file',
        path.join(directory.path, 'm.json'),
      );
      expect([other.code, other.code === 0 ? '' : other.stderr]).toEqual([0, '']);
      const metadata = parsed(fs.readFileSync(path.join(directory.path, 'm.json'), 'utf8'));
      const digest = String(metadata['containerimage.digest']);
      expect((await fetched('digest', digest)).layers.length).toBe(3);
      const tags = await fetch(`http://${registry.host}/v2/digest/tags/list`);
      expect(await tags.text()).not.toContain('latest');
      await daemon.must(['rmi', '-f', `${name}:zstd`]);
      await daemon.must(['pull', '-q', `${name}:zstd`]);
      expect(await daemon.must(['run', '--rm', '--network', 'none', `${name}:zstd`, 'cat', '/1', '/2'])).toBe('1\n2');
    },
    LIMIT_MS,
  );

  test(
    'is squashed to one layer with its history, deletions and replaced directories in it',
    async () => {
      using directory = new BuildDirectory(
        [
          `FROM ${BASE} AS base`,
          'RUN mkdir -p /d/sub && echo old > /d/old && echo sub > /d/sub/f && echo gone > /gone',
          'FROM base AS last',
          'RUN echo secret > /secret && echo kept > /kept',
          'RUN rm -r /secret /gone /d && mkdir /d && echo new > /d/new',
        ].join('\n'),
      );
      await built(directory, '--target', 'base', '-t', 'squash:base');
      directory.write(
        'Dockerfile',
        fs
          .readFileSync(path.join(directory.path, 'Dockerfile'), 'utf8')
          .replace(/^FROM .* AS base\nRUN .*\n/, '')
          .replace('FROM base', 'FROM squash:base'),
      );
      await built(directory, '--squash', '-t', 'squash:1');
      const layers = (name: string) => daemon.must(['inspect', '-f', '{{len .RootFS.Layers}}', name]).then(Number);
      expect((await layers('squash:1')) - (await layers('squash:base'))).toBe(1);
      const run = (...command: readonly string[]) =>
        daemon.must(['run', '--rm', '--network', 'none', 'squash:1', ...command]);
      expect(await run('sh', '-c', 'cat /kept; find /d | sort; ls / | grep -cE "secret|gone" || true')).toBe(
        'kept\n/d\n/d/new\n0',
      );
      const history = await daemon.must([
        'history',
        '--no-trunc',
        '--format',
        '{{.Size}} {{.CreatedBy}} {{.Comment}}',
        'squash:1',
      ]);
      expect(history.split('\n')[0]).toMatch(/^[1-9].*merge .* to sha256:/);
      expect(history).toMatch(/^0B RUN .*echo secret/m);
      expect((await daemon.must(['save', 'squash:1'])).includes('secret\n')).toBe(false);
    },
    LIMIT_MS,
  );

  test(
    'has statements in its index: how it was made, and of what',
    async () => {
      using directory = new BuildDirectory(
        [
          `FROM ${BASE}`,
          'ARG TOKEN=none',
          'COPY status /var/lib/dpkg/status',
          'COPY installed /lib/apk/db/installed',
          'COPY package.json /app/node_modules/@a/b/package.json',
          'COPY rpmdb.sqlite /usr/lib/sysimage/rpm/',
        ].join('\n'),
        {
          status:
            'Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nArchitecture: amd64\n\nPackage: old\nStatus: deinstall ok config-files\nVersion: 1\n',
          installed: 'P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\n\n',
          'package.json': '{"name":"@a/b","version":"3.0.0","license":"ISC"}',
        },
      );
      const rpm = path.join(import.meta.dirname, '../../../src/builder/attest/testdata/rpmdb.sqlite.gz');
      fs.writeFileSync(path.join(directory.path, 'rpmdb.sqlite'), Bun.gunzipSync(fs.readFileSync(rpm)));
      const name = `${registry.host}/attested:1`;
      const args = ['--sbom=true', '--attest', 'type=provenance,mode=max', '--build-arg', 'TOKEN=t'];
      await built(directory, '-t', name, '--push', ...args);
      const index = await fetched('attested', '1');
      const [image, attestation] = index.manifests;
      expect(attestation?.annotations).toEqual({
        'vnd.docker.reference.digest': image?.digest ?? '',
        'vnd.docker.reference.type': 'attestation-manifest',
      });
      const { layers } = await fetched('attested', attestation?.digest ?? '');
      expect(layers.map(({ annotations }) => annotations?.['in-toto.io/predicate-type'])).toEqual([
        'https://spdx.dev/Document',
        'https://slsa.dev/provenance/v0.2',
      ]);
      const statements = await Promise.all(layers.map((layer) => blob('attested', layer)));
      const digest = { sha256: image?.digest.slice(7) };
      for (const statement of statements) expect(statement).toMatchObject({ subject: [{ digest }] });
      const [sbom, provenance] = statements.map((statement) => JSON.stringify(statement));
      for (const purl of [
        'pkg:deb/libc6@2.36-9?arch=amd64',
        'pkg:apk/musl@1.2.4-r2?arch=x86_64',
        'pkg:npm/%40a/b@3.0.0',
        'pkg:rpm/pkg-2@1.2-2?arch=noarch&epoch=7',
      ]) {
        expect(sbom).toContain(purl);
      }
      expect(sbom).not.toContain('"old"');
      expect(provenance).toContain('"build-arg:TOKEN":"t"');
      expect(provenance).toContain('pkg:docker/berth.test/busybox@1?platform=linux%2Famd64');
      expect(
        await daemon.must(['run', '--rm', '--network', 'none', name, 'cat', '/app/node_modules/@a/b/package.json']),
      ).toContain('ISC');
      await built(directory, '-t', name, '--push', '--provenance', 'mode=min', '--build-arg', 'TOKEN=t');
      const min = (await fetched('attested', '1')).manifests[1];
      const [layer] = (await fetched('attested', min?.digest ?? '')).layers;
      expect(layer && JSON.stringify(await blob('attested', layer))).not.toContain('TOKEN');
      directory.write('Dockerfile', `FROM ${BASE}\nCOPY status /var/lib/rpm/Packages\n`);
      const old = await daemon.berth(['build', '--sbom=true', '-t', name, directory.path]);
      expect(old.code).toBe(1);
      expect(old.stderr).toContain('packages of rpm (/var/lib/rpm/Packages)');
    },
    LIMIT_MS,
  );
});

test(
  'the Dockerfile is described without being built',
  async () => {
    using directory = new BuildDirectory(
      [
        '# VERSION of all',
        'ARG VERSION=1',
        '# make makes it',
        'FROM scratch AS make',
        '# WHO is greeted',
        'ARG WHO',
        'RUN --mount=type=secret,id=token,required=true --mount=type=ssh true',
        'FROM scratch AS app',
        'COPY --from=make / /',
      ].join('\n'),
    );
    const called = async (...args: readonly string[]) => (await build(directory, ...args)).stdout;
    expect(await called('--call=outline', '--build-arg', 'WHO=you')).toBe(
      'TARGET:   app\n\nBUILD ARG   VALUE   DESCRIPTION\nWHO         you     is greeted\n\n' +
        'SECRET   REQUIRED\ntoken    true\n\nSSH       REQUIRED\ndefault   \n\n',
    );
    expect(await called('--call=targets')).toBe(
      'TARGET          DESCRIPTION\nmake            makes it\napp (default)   \n',
    );
    expect(parsed(await called('--call=targets,format=json'))).toMatchObject({
      targets: [{ name: 'make', base: 'scratch' }, { default: true }],
    });
    expect(parsed(await called('--call=check,format=json'))).toMatchObject({ warnings: [] });
  },
  LIMIT_MS,
);
