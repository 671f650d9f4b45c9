/** The real buildx (Debian trixie's 0.13) with the docker driver: what `docker build` is for everybody who has it. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';
import { withPlugins } from '../../support/next-debian.ts';

const IMG = 'berth.test/busybox:1';
const LIMIT = 120_000;
let d: TestDaemon;
let config: string;
let contexts = 0;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  config = await withPlugins(path.join(d.directory, 'plugins'), ['docker-buildx', 'docker-compose']);
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

function context(files: Readonly<Record<string, string>>): string {
  const directory = path.join(d.directory, `context-${contexts++}`);
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
  }
  return directory;
}

const docker = (args: readonly string[], input: string | Uint8Array = '') =>
  run('docker', ['-H', `unix://${d.socket}`, ...args], {
    env: { DOCKER_CONFIG: config, DOCKER_CLI_HINTS: 'false' },
    input,
    limitMs: 100_000,
  });

const build = (args: readonly string[], input: string | Uint8Array = '') =>
  docker(['buildx', 'build', '--progress=plain', ...args], input);

test(
  'names, arguments, labels, stages, ids and metadata; the second time from the cache',
  async () => {
    const directory = context({
      Dockerfile:
        `# syntax=docker/dockerfile:1\nFROM ${IMG} AS base\nARG WHO\nRUN echo "hi $WHO" > /hi && echo said\n` +
        `FROM base\nCOPY a /a\nLABEL x=y\nCMD ["cat", "/hi", "/a"]\n`,
      a: 'content',
    });
    const iid = path.join(d.directory, 'iid');
    const metadata = path.join(d.directory, 'metadata.json');
    const args = ['--build-arg', 'WHO=you', '--label', 'l=m', '-t', 'bx:1', '-t', 'bx:2'];
    const first = await build([...args, '--iidfile', iid, '--metadata-file', metadata, directory]);
    expect(first.stderr).toMatch(/#\d+ [\d.]+ said/);
    expect(first.code).toBe(0);
    const id = fs.readFileSync(iid, 'utf8');
    expect(await d.must(['image', 'inspect', '-f', '{{.Id}} {{.Config.Labels}}', 'bx:2'])).toBe(`${id} map[l:m x:y]`);
    expect(await d.must(['run', '--rm', '--network', 'none', 'bx:1'])).toBe('hi you\ncontent');
    expect(JSON.parse(fs.readFileSync(metadata, 'utf8'))).toMatchObject({
      'containerimage.digest': id,
      'containerimage.config.digest': id,
      'image.name': 'docker.io/library/bx:1,docker.io/library/bx:2',
    });
    const second = await docker(['build', '-q', ...args, directory]);
    expect(second).toMatchObject({ code: 0, stdout: `${id}\n`, stderr: '' });
  },
  LIMIT,
);

test(
  'what is wrong is shown with its lines, what fails with its output and its step',
  async () => {
    const wrong = await build([context({ Dockerfile: `FROM ${IMG}\nRUN ok\nRNU oops\n` })]);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toEndWith(
      `Dockerfile:3\n--------------------\n   1 |     FROM ${IMG}\n   2 |     RUN ok\n   3 | >>> RNU oops\n   4 |     \n` +
        `--------------------\n` +
        `ERROR: failed to solve: dockerfile parse error on line 3: unknown instruction: RNU (did you mean RUN?)\n`,
    );
    const failed = await build([
      context({ Dockerfile: `FROM ${IMG}\nARG A=1\nWORKDIR /w\nRUN echo before; \\\n  exit 7\nRUN true\n` }),
    ]);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(/#\d+ \[3\/4\] RUN echo before; {3}exit 7\n/);
    expect(failed.stderr).toMatch(/#\d+ ERROR: process ".*" did not complete successfully: exit code: 7\n/);
    expect(failed.stderr).toMatch(/------\n > \[3\/4\] RUN echo before; {3}exit 7:\n[\d.]+ before\n------\n/);
    expect(failed.stderr).toEndWith(
      `Dockerfile:4\n--------------------\n   3 |     WORKDIR /w\n   4 | >>> RUN echo before; \\\n   5 | >>>   exit 7\n   6 |     RUN true\n` +
        `--------------------\n` +
        `ERROR: failed to solve: process "/bin/sh -c echo before;   exit 7" did not complete successfully: exit code: 7\n`,
    );
    const cases = [
      ['COPY nothing /x', 'ERROR: failed to solve: "/nothing": not found'],
      ['RUN --mount=type=secret,id=s,required true', 'ERROR: failed to solve: secret s: not found'],
      ['USER nobody-there\nRUN true', 'nobody-there'],
    ] as const;
    for (const [line, why] of cases) {
      const { code, stderr } = await build([context({ Dockerfile: `FROM ${IMG}\n${line}\n` })]);
      expect(code).toBe(1);
      expect(stderr).toContain(why);
      expect(stderr).toContain(`| >>> ${line.split('\n').at(-1) ?? ''}\n`);
    }
    const target = await build(['--target', 'nowhere', context({ Dockerfile: `FROM ${IMG}\n` })]);
    expect(target.stderr).toEndWith('ERROR: failed to solve: target stage "nowhere" could not be found\n');
  },
  LIMIT,
);

test(
  'outputs: files, archives, several at once, several platforms, a registry with a cache in it',
  async () => {
    await using registry = await TestRegistry.start();
    const directory = context({
      Dockerfile: 'FROM scratch\nCOPY a /sub/a\n',
      a: 'content',
      'a.run': `FROM ${IMG}\nRUN echo x > /x\n`,
    });
    const out = (name: string) => path.join(d.directory, `out-${name}`);
    const both = await build(['-o', `type=local,dest=${out('local')}`, '-o', `type=tar,dest=${out('tar')}`, directory]);
    expect(both.stderr).not.toContain('ERROR');
    expect(fs.readFileSync(path.join(out('local'), 'sub/a'), 'utf8')).toBe('content');
    expect((await run('tar', ['tf', out('tar')])).stdout).toBe('sub/\nsub/a\n');
    expect((await build(['-t', 'archived:1', '-o', `type=docker,dest=${out('docker')}`, directory])).code).toBe(0);
    await d.must(['rmi', 'archived:1']);
    expect(await d.must(['load', '-q', '-i', out('docker')])).toBe('Loaded image: archived:1');
    expect((await build(['-o', `type=oci,dest=${out('oci')}`, '--annotation', 'k=v', directory])).code).toBe(0);
    const layout = await run('skopeo', ['inspect', '--raw', `oci-archive:${out('oci')}`]);
    expect(JSON.parse(layout.stdout)).toMatchObject({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      annotations: { k: 'v' },
    });
    const platforms = ['--platform', 'linux/amd64,linux/arm64'];
    expect((await build([...platforms, '-o', out('split'), directory])).code).toBe(0);
    expect(fs.readFileSync(path.join(out('split'), 'linux_arm64/sub/a'), 'utf8')).toBe('content');
    const name = `${registry.host}/app:1`;
    const pushed = await build([...platforms, '--provenance=mode=min', '--push', '-t', name, directory]);
    expect(pushed.stderr).not.toContain('ERROR');
    const index = await run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]);
    expect(JSON.parse(index.stdout)).toMatchObject({
      manifests: ['amd64', 'arm64', 'unknown', 'unknown'].map((architecture) => ({ platform: { architecture } })),
    });
    const cache = `type=registry,ref=${registry.host}/cache:1`;
    const file = ['-f', path.join(directory, 'a.run')];
    expect((await build([...file, '--cache-to', `${cache},mode=max`, directory])).code).toBe(0);
    expect((await docker(['buildx', 'prune', '-af'])).code).toBe(0);
    const again = await build([...file, '--cache-from', cache, directory]);
    expect(again.stderr).toMatch(/\[2\/2\] RUN echo x > \/x\n#\d+ CACHED/);
  },
  LIMIT,
);

test(
  'bake: a file of HCL with targets that begin with another, side by side; one of JSON; a Compose file',
  async () => {
    const out = path.join(d.directory, 'bake-out');
    const directory = context({
      'docker-bake.hcl':
        `variable "TAG" { default = "1" }\ngroup "default" { targets = ["app", "other", "files"] }\n` +
        `target "base" {\n  context = "lib"\n  args = { X = "y" }\n}\n` +
        `target "app" {\n  context = "app"\n  contexts = { base = "target:base" }\n  tags = ["bake/app:\${TAG}"]\n}\n` +
        `target "other" {\n  inherits = ["app"]\n  tags = ["bake/other:\${TAG}"]\n` +
        `  dockerfile-inline = "FROM ${IMG}\\nCOPY --from=base /lib /other\\n"\n}\n` +
        `target "files" {\n  context = "app"\n  contexts = { base = "target:base" }\n  output = ["type=local,dest=${out}"]\n` +
        `  dockerfile-inline = "FROM scratch\\nCOPY --from=base /lib /files\\n"\n}\n`,
      'lib/Dockerfile': `FROM ${IMG}\nARG X\nCOPY l /lib\nRUN echo $X >> /lib\nENV FOO=bar\n`,
      'lib/l': 'l\n',
      'app/Dockerfile': 'FROM base\nRUN echo $FOO >> /lib\n',
      'bake.json': JSON.stringify({ target: { one: { context: 'lib', tags: ['bake/json:1'] } } }),
      'compose.yaml': `services:\n  web:\n    image: bake/web:1\n    build:\n      context: lib\n      args:\n        X: z\n`,
    });
    const bake = (args: readonly string[]) =>
      run('docker', ['-H', `unix://${d.socket}`, 'buildx', 'bake', '--progress=plain', ...args], {
        env: { DOCKER_CONFIG: config, TAG: '7' },
        cwd: directory,
        limitMs: 100_000,
      });
    const baked = await bake([]);
    expect(baked.stderr).toContain('[app 1/2] RUN echo bar >> /lib');
    expect(baked.code).toBe(0);
    const cat = (image: string, file: string) => d.must(['run', '--rm', '--network', 'none', image, 'cat', file]);
    expect(await cat('bake/app:7', '/lib')).toBe('l\ny\nbar');
    expect(await cat('bake/other:7', '/other')).toBe('l\ny');
    expect(fs.readFileSync(path.join(out, 'files'), 'utf8')).toBe('l\ny\n');
    expect((await bake(['-f', 'bake.json', 'one'])).code).toBe(0);
    expect(await cat('bake/json:1', '/lib')).toBe('l');
    expect((await bake(['-f', 'compose.yaml'])).code).toBe(0);
    expect(await cat('bake/web:1', '/lib')).toBe('l\nz');
  },
  LIMIT,
);

test(
  'bake of a repository: its definition is read here, its directories are contexts',
  async () => {
    const directory = context({
      'docker-bake.hcl':
        `group "default" {\n  targets = ["whole", "part", "named"]\n}\ntarget "whole" {\n  tags = ["remote:whole"]\n}\n` +
        `target "part" {\n  context = "sub"\n  tags = ["remote:part"]\n}\n` +
        `target "named" {\n  contexts = { lib = "sub" }\n  tags = ["remote:named"]\n` +
        `  dockerfile-inline = "FROM ${IMG}\\nCOPY --from=lib sub/g /f\\n"\n}\n`,
      Dockerfile: `FROM ${IMG}\nCOPY f /f\n`,
      f: 'whole\n',
      'sub/Dockerfile': `FROM ${IMG}\nCOPY g /f\n`,
      'sub/g': 'part\n',
    });
    const git = (...args: string[]) => must('git', args, { cwd: directory });
    await git('init', '--quiet', '--initial-branch=main');
    await git('add', '.');
    await git('-c', 'user.name=t', '-c', 'user.email=t@berth.test', 'commit', '--quiet', '-m', 'all');
    const bare = path.join(d.directory, 'served', 'r.git');
    await git('clone', '--quiet', '--bare', directory, bare);
    await must('git', ['-C', bare, 'update-server-info']);
    // Files of a repository alone: a server that knows nothing of git.
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: async (request) => {
        const file = Bun.file(path.join(path.dirname(bare), new URL(request.url).pathname));
        return (await file.exists()) ? new Response(file) : new Response('', { status: 404 });
      },
    });
    const baked = await docker(['buildx', 'bake', '--progress=plain', `http://127.0.0.1:${server.port}/r.git`]);
    expect(baked.stderr).toContain('[internal] load git source');
    expect([baked.code, baked.code === 0 ? '' : baked.stderr]).toEqual([0, '']);
    for (const [tag, text] of [
      ['whole', 'whole'],
      ['part', 'part'],
      ['named', 'part'],
    ] as const) {
      expect(await d.must(['run', '--rm', '--network', 'none', `remote:${tag}`, 'cat', '/f'])).toBe(text);
    }
  },
  LIMIT,
);

test(
  'Compose builds: a further context, a secret of the environment, a target, two services side by side',
  async () => {
    const directory = context({
      'compose.yaml':
        `services:\n  web:\n    image: cw:1\n    build:\n      context: app\n      additional_contexts:\n        lib: ./lib\n` +
        `      secrets: [s]\n      args: {A: "1"}\n` +
        `  other:\n    image: cw:2\n    build: {context: app, target: one, additional_contexts: {lib: ./lib}}\n` +
        `secrets:\n  s: {environment: FROM_OUTSIDE}\n`,
      'lib/l': 'l\n',
      'app/Dockerfile':
        `FROM ${IMG} AS one\nCOPY --from=lib l /l\nFROM one\nARG A\n` +
        `RUN --mount=type=secret,id=s test "$(cat /run/secrets/s)" = hidden && echo $A > /a\n`,
    });
    const built = await run('docker', ['-H', `unix://${d.socket}`, 'compose', '--progress=plain', 'build'], {
      env: { DOCKER_CONFIG: config, FROM_OUTSIDE: 'hidden' },
      cwd: directory,
      limitMs: 100_000,
    });
    expect([built.code, built.code === 0 ? '' : built.stderr]).toEqual([0, '']);
    expect(await d.must(['run', '--rm', '--network', 'none', 'cw:1', 'cat', '/a', '/l'])).toBe('1\nl');
    expect(await d.must(['run', '--rm', '--network', 'none', 'cw:2', 'sh', '-c', 'cat /l; ls /a || echo none'])).toBe(
      'l\nnone',
    );
  },
  LIMIT,
);
