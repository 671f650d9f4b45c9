/**
 * Builds by BuildKit's protocol with a client that speaks it by itself (Debian's docker CLI 20.10): files, secrets and
 * the ssh agent come from the client's session, progress goes out as BuildKit's messages.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { ensurePackage } from '../../support/debian-package.ts';
import { TestRegistry } from '../../support/registry.ts';

const CLI = '/usr/bin/docker';
const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
let contexts = 0;

beforeAll(async () => {
  await ensurePackage(CLI, 'docker.io');
  d = await TestDaemon.start({ noBridge: true });
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

function build(args: readonly string[], env: Readonly<Record<string, string>> = {}, input: string | Uint8Array = '') {
  return run(CLI, ['-H', `unix://${d.socket}`, 'build', '--progress=plain', ...args], {
    env: { DOCKER_BUILDKIT: '1', DOCKER_CONFIG: path.join(d.directory, 'docker-config'), ...env },
    input,
  });
}

const inside = (image: string, command: string) =>
  d.must(['run', '--rm', '--network', 'none', image, 'sh', '-c', command]);

test('files, arguments, stages and names; the second time from the cache', async () => {
  const directory = context({
    'docker/Dockerfile.prod':
      `ARG TAG\nFROM berth.test/busybox:\${TAG} AS base\nARG WHO\nRUN echo "hi $WHO" > /hi\nCOPY . /all/\n` +
      `FROM ${IMG}\nCOPY --from=base /hi /all /r/\nLABEL a=b\n`,
    'docker/Dockerfile.prod.dockerignore': 'node_modules\n*.log\n!keep.log\n',
    'node_modules/x/y': 'no',
    'a.log': 'no',
    'keep.log': 'yes',
    'ünïcode/ä b': 'yes',
  });
  fs.symlinkSync('keep.log', path.join(directory, 'link'));
  fs.linkSync(path.join(directory, 'keep.log'), path.join(directory, 'twin'));
  fs.chmodSync(path.join(directory, 'keep.log'), 0o750);
  const iid = path.join(d.directory, 'iid');
  const args = ['-f', path.join(directory, 'docker/Dockerfile.prod'), '--build-arg', 'TAG=1', '--build-arg', 'WHO=you'];
  const first = await build([...args, '-t', 'made:1', '-t', 'made:2', '--iidfile', iid, directory]);
  expect(first.stderr).toContain('load build context');
  expect(first.code).toBe(0);
  expect(await inside('made:1', 'cat /r/hi; cd /r; find . | sort; stat -c %a keep.log; readlink link')).toBe(
    [
      'hi you',
      '.',
      './docker',
      './docker/Dockerfile.prod',
      './docker/Dockerfile.prod.dockerignore',
      './hi',
      './keep.log',
      './link',
    ]
      .concat(['./twin', './ünïcode', './ünïcode/ä b', '750', 'keep.log'])
      .join('\n'),
  );
  const id = fs.readFileSync(iid, 'utf8').trim();
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}} {{.Config.Labels.a}}', 'made:2'])).toBe(`${id} b`);
  const second = await build([...args, '-t', 'made:3', directory]);
  expect(second.stderr.match(/CACHED/g)?.length).toBeGreaterThanOrEqual(3);
  expect(await d.must(['image', 'inspect', '-f', '{{.Id}}', 'made:3'])).toBe(id);
}, 120_000);

test('only what is copied is sent, of a large context', async () => {
  const files: Record<string, string> = {
    Dockerfile: `FROM ${IMG}\nCOPY want /w/\nCOPY big /big\nRUN ls /w | wc -l > /n\n`,
  };
  for (let i = 0; i < 1500; i++) files[`want/f${i}`] = `content ${i}`;
  const directory = context({ ...files, big: 'x'.repeat(12_000_000) });
  fs.writeFileSync(path.join(directory, 'unused'), Buffer.alloc(50_000_000));
  const built = await build(['-t', 'large:1', directory]);
  expect(built.code).toBe(0);
  const sent = /transferring context: ([\d.]+)MB/.exec(
    built.stderr.slice(built.stderr.lastIndexOf('transferring')),
  )?.[1];
  expect(Number(sent)).toBeLessThan(25);
  expect(await inside('large:1', 'cat /n; wc -c < /big; cat /w/f7')).toBe('1500\n12000000\ncontent 7');
}, 120_000);

test('secrets and the agent are there for the step, and nowhere afterwards', async () => {
  const value = 'only-for-this-step-8213';
  const secret = path.join(d.directory, 'secret');
  fs.writeFileSync(secret, value);
  const agent = path.join(d.directory, 'agent');
  const server = net.createServer((socket) => socket.end());
  await new Promise<void>((resolve) => server.listen(agent, resolve));
  const directory = context({
    Dockerfile:
      `FROM ${IMG}\nRUN --mount=type=secret,id=s,required wc -c < /run/secrets/s > /size\n` +
      `RUN --mount=type=ssh test -S "$SSH_AUTH_SOCK" && echo agent > /agent\n`,
  });
  const built = await build([
    '--secret',
    `id=s,src=${secret}`,
    '--ssh',
    `default=${agent}`,
    '-t',
    'secret:1',
    directory,
  ]);
  server.close();
  expect(built.stderr).not.toContain(value);
  expect(built.code).toBe(0);
  expect(await inside('secret:1', 'cat /size /agent; test ! -e /run/secrets')).toBe(`${value.length}\nagent`);
  const found = await run('grep', ['-r', '-l', value, d.dataRoot]);
  expect(found.stdout).toBe('');
  const without = await build(['--no-cache', directory]);
  expect(without.code).toBe(1);
  expect(without.stderr).toContain('secret s: not found');
}, 120_000);

test('a Dockerfile or a whole context by the standard input', async () => {
  const dockerfile = `FROM ${IMG}\nRUN echo by stdin > /x\n`;
  const alone = await build(['-t', 'stdin:1', '-'], {}, dockerfile);
  expect(alone.code).toBe(0);
  expect(await inside('stdin:1', 'cat /x')).toBe('by stdin');
  const directory = context({ 'sub/Dockerfile': `${dockerfile}COPY a /a\n`, a: 'of the tar' });
  const tar = path.join(d.directory, 'context.tar');
  expect((await run('tar', ['cf', tar, '-C', directory, '.'])).code).toBe(0);
  const whole = await build(['-t', 'stdin:2', '-f', 'sub/Dockerfile', '-'], {}, fs.readFileSync(tar));
  expect(whole.stderr).toContain('load uploaded build context');
  expect(whole.code).toBe(0);
  expect(await inside('stdin:2', 'cat /a')).toBe('of the tar');
}, 120_000);

test('base images of a private registry: the client is asked for its log-in, by either protocol', async () => {
  const user = { name: 'me', password: 'sesame-4711' };
  await using registry = await TestRegistry.start({ user });
  const base = `${registry.host}/private/base:1`;
  await d.must(['login', '-u', user.name, '--password-stdin', registry.host], { input: user.password });
  const directory = context({ Dockerfile: `FROM ${base}\nRUN true\n` });
  for (const kit of ['0', '1']) {
    await d.must(['tag', IMG, base]);
    await d.must(['push', '-q', base]);
    await d.must(['rmi', base]);
    const anonymous = { DOCKER_CONFIG: path.join(d.directory, 'no-config'), DOCKER_BUILDKIT: kit };
    const refused = await build([directory], anonymous);
    expect(refused.code).toBe(1);
    const built = await build(['--no-cache', directory], { DOCKER_BUILDKIT: kit });
    expect(built.stdout + built.stderr).not.toContain('denied');
    expect(built.code).toBe(0);
    await d.must(['rmi', '-f', base]);
  }
}, 120_000);

test('results go to the client as a directory or as a tar', async () => {
  const directory = context({
    Dockerfile: `FROM ${IMG} AS b\nRUN mkdir -p /o/sub && echo out > /o/sub/f && ln -s f /o/sub/l && chmod 4711 /o/sub/f\nFROM scratch\nCOPY --from=b /o /\n`,
  });
  const local = path.join(d.directory, 'out');
  expect((await build(['-o', `type=local,dest=${local}`, directory])).code).toBe(0);
  expect(fs.readFileSync(path.join(local, 'sub/f'), 'utf8')).toBe('out\n');
  expect(fs.readlinkSync(path.join(local, 'sub/l'))).toBe('f');
  expect(fs.statSync(path.join(local, 'sub/f')).mode & 0o7777).toBe(0o4711);
  const tar = path.join(d.directory, 'out.tar');
  expect((await build(['-o', `type=tar,dest=${tar}`, directory])).code).toBe(0);
  expect((await run('tar', ['tf', tar])).stdout).toContain('sub/f');
  const other = await build(['-o', `type=oci,dest=${tar}`, directory]);
  expect(other.code).toBe(1);
}, 120_000);

test('what is wrong with a Dockerfile is shown with its lines; what fails has its output', async () => {
  const wrong = await build([context({ Dockerfile: `FROM ${IMG}\nRUN ok\nRNU oops\n` })]);
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toContain('   3 | >>> RNU oops');
  expect(wrong.stderr).toContain('dockerfile parse error on line 3: unknown instruction: RNU (did you mean RUN?)');
  const failed = await build([context({ Dockerfile: `FROM ${IMG}\nRUN echo before; exit 7\n` })]);
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('before');
  expect(failed.stderr).toContain(
    'process "/bin/sh -c echo before; exit 7" did not complete successfully: exit code: 7',
  );
  const missing = await build([context({ Dockerfile: `FROM ${IMG}\nCOPY nothing /x\n` })]);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toContain('nothing');
}, 120_000);

test('a client that goes ends its build', async () => {
  const directory = context({ Dockerfile: `FROM ${IMG}\nRUN echo began; sleep 1234567\n` });
  const building = spawn(CLI, ['-H', `unix://${d.socket}`, 'build', '--progress=plain', directory], {
    env: { ...process.env, DOCKER_BUILDKIT: '1', DOCKER_CONFIG: path.join(d.directory, 'docker-config') },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => building.once('exit', resolve));
  await eventually('the step runs', async () => (await processes('sleep 1234567')) > 0, 30_000);
  building.kill('SIGINT');
  await ended;
  await eventually('the step is gone', async () => (await processes('sleep 1234567')) === 0, 30_000);
}, 120_000);

async function processes(words: string): Promise<number> {
  const { stdout } = await run('ps', ['-eo', 'args']);
  return stdout.split('\n').filter((line) => line === words).length;
}

test('sessions and builds that cannot be are refused by name', async () => {
  const { status, body } = await d.request('POST', '/session');
  expect([status, body]).toEqual([400, { message: 'no upgrade: /session needs one of the connection to h2c' }]);
  const without = await d.request('POST', '/build?version=2');
  expect([without.status, without.body]).toEqual([400, { message: 'a build by BuildKit needs a session' }]);
});
