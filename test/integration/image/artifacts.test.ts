/** OCI artifacts: files as artifacts, with podman's verbs, and as mounts of containers. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
let directory = '';
beforeAll(async () => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'artifacts-'));
  fs.writeFileSync(path.join(directory, 'weights.bin'), Buffer.alloc(300_000, 'weights'));
  fs.writeFileSync(path.join(directory, 'vocabulary.txt'), 'words\n');
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(async () => {
  await d?.[Symbol.asyncDispose]();
  fs.rmSync(directory, { recursive: true, force: true });
}, 60_000);

const file = (name: string): string => path.join(directory, name);

async function berth(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await d.berth(args);
  if (code !== 0) throw new Error(`berth ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}

async function failure(...args: string[]): Promise<string> {
  const { code, stderr } = await d.berth(args);
  expect(code).not.toBe(0);
  return stderr;
}

test('add, ls, inspect, extract, rm', async () => {
  const name = 'registry.test/models/small:1';
  const type = ['--type', 'application/vnd.test.model', '--annotation', 'license=MIT'];
  const digest = await berth('artifact', 'add', ...type, name, file('weights.bin'), file('vocabulary.txt'));
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  const row = await berth(
    'artifact',
    'ls',
    '--format',
    '{{.Repository}} {{.Tag}} {{.Digest}} {{.Size}} {{.Type}} {{.Files}}',
  );
  expect(row).toBe(`registry.test/models/small 1 ${digest.slice(7, 19)} 300kB application/vnd.test.model 2`);
  expect(await berth('artifact', 'ls', '-q')).toBe(name);
  const inspected: unknown = JSON.parse(await berth('artifact', 'inspect', name));
  expect(inspected).toMatchObject([
    {
      Name: name,
      Digest: digest,
      Manifest: {
        artifactType: 'application/vnd.test.model',
        config: { mediaType: 'application/vnd.oci.empty.v1+json', size: 2 },
        annotations: { license: 'MIT' },
        layers: [
          { size: 300_000, annotations: { 'org.opencontainers.image.title': 'weights.bin' } },
          { size: 6, annotations: { 'org.opencontainers.image.title': 'vocabulary.txt' } },
        ],
      },
    },
  ]);
  expect(await failure('artifact', 'add', name, file('vocabulary.txt'))).toContain('already exists');
  const out = fs.mkdtempSync(file('out-'));
  await berth('artifact', 'extract', name, out);
  expect(fs.readFileSync(path.join(out, 'weights.bin')).equals(fs.readFileSync(file('weights.bin')))).toBe(true);
  await berth('artifact', 'extract', '--title', 'vocabulary.txt', name, path.join(out, 'alone'));
  expect(fs.readFileSync(path.join(out, 'alone'), 'utf8')).toBe('words\n');
  expect(await failure('artifact', 'extract', name, path.join(out, 'alone'))).toContain('2 files');
  expect(await failure('artifact', 'inspect', 'none')).toContain('No such artifact: none');

  const replaced = await berth('artifact', 'add', '--replace', name, file('vocabulary.txt'));
  expect(replaced).not.toBe(digest);
  expect(await berth('artifact', 'rm', name)).toBe(replaced);
  expect(await berth('artifact', 'ls', '-q')).toBe('');
}, 60_000);

test('--mount type=artifact: one file, all files, one of them; read-only; the name may move meanwhile', async () => {
  await berth('artifact', 'add', 'one.test/a:1', file('vocabulary.txt'));
  await berth('artifact', 'add', 'two.test/a:1', file('weights.bin'), file('vocabulary.txt'));
  const run = (mount: string, ...command: string[]): Promise<string> =>
    berth('run', '--rm', '--network', 'none', '--user', '1000', '--mount', `type=artifact,${mount}`, IMG, ...command);
  expect(await run('src=one.test/a:1,dst=/vocabulary', 'cat', '/vocabulary')).toBe('words');
  expect(await run('src=two.test/a:1,dst=/model', 'ls', '/model')).toBe('vocabulary.txt\nweights.bin');
  expect(await run('src=two.test/a:1,dst=/model', 'sh', '-c', 'wc -c < /model/weights.bin')).toBe('300000');
  expect(await run('src=two.test/a:1,title=vocabulary.txt,dst=/v', 'cat', '/v')).toBe('words');
  const write = ['--user', '0', '--mount', 'type=artifact,src=one.test/a:1,dst=/v', IMG, 'sh', '-c', 'echo x > /v'];
  expect(await failure('run', '--rm', '--network', 'none', ...write)).toContain('Read-only file system');
  for (const [mount, message] of [
    ['src=none.test/a:1,dst=/v', 'No such artifact: none.test/a:1'],
    ['src=one.test/a:1,title=other,dst=/v', 'has no file "other"'],
    ['dst=/v', 'field Source must not be empty'],
    ['src=one.test/a:1,title=a,digest=b,dst=/v', 'cannot set both title and digest'],
  ] as const) {
    expect(await failure('run', '--rm', '--mount', `type=artifact,${mount}`, IMG, 'true')).toContain(message);
  }

  const mount = ['--mount', 'type=artifact,src=one.test/a:1,dst=/v'];
  await berth('run', '-d', '--name', 'user', '--network', 'none', ...mount, IMG, 'sleep', '1000');
  expect(await failure('artifact', 'rm', 'one.test/a:1')).toContain('is using it');
  fs.writeFileSync(file('vocabulary.txt'), 'other words\n');
  await berth('artifact', 'add', '--replace', 'one.test/a:1', file('vocabulary.txt'));
  expect(await berth('exec', 'user', 'cat', '/v')).toBe('words');
  // What is collected now leaves the container what it has.
  await berth('artifact', 'add', 'three.test/a:1', file('weights.bin'));
  await berth('artifact', 'rm', 'three.test/a:1');
  await d.restart();
  await berth('restart', '-t', '0', 'user');
  expect(await berth('exec', 'user', 'cat', '/v')).toBe('words');
  await berth('rm', '-f', 'user');
  await berth('artifact', 'rm', '--all');
  await d.restart();
  expect(fs.readdirSync(path.join(d.dataRoot, 'artifacts'))).toEqual([]);
}, 60_000);

test('titles that would lead elsewhere are only names of files', async () => {
  const upload = async (content: string): Promise<string> => {
    const answer = await fetch('http://berth/berth/artifacts/files', { method: 'POST', body: content, unix: d.socket });
    return String(Reflect.get(Object(await answer.json()), 'Digest'));
  };
  const titles = ['../../etc/passwd', '/etc/shadow', '..', '', 'a\nb', 'x'.repeat(300)];
  const files = await Promise.all(
    titles.map(async (title, i) => ({ Title: title, Digest: await upload(`evil ${i}`), MediaType: '' })),
  );
  const created = await d.request('POST', '/berth/artifacts/create', { Name: 'evil.test/a:1', Files: files });
  expect(created.status).toBe(201);
  const mount = 'type=artifact,src=evil.test/a:1,dst=/evil';
  const listed = await berth('run', '--rm', '--network', 'none', '--mount', mount, IMG, 'ls', '/evil');
  const names = listed.split('\n');
  expect(names.filter((name) => !/^(?:passwd|shadow|sha256-[0-9a-f]{64})$/.test(name))).toEqual([]);
  expect(names).toHaveLength(titles.length);
  const out = fs.mkdtempSync(file('evil-'));
  await berth('artifact', 'extract', 'evil.test/a:1', out);
  expect(fs.readdirSync(out).sort()).toEqual([...names].sort((a, b) => (a < b ? -1 : 1)));
  const wrong = await d.request('POST', '/berth/artifacts/create', {
    Name: 'evil.test/b:1',
    Files: [{ Title: 'x', Digest: `sha256:${'0'.repeat(64)}` }],
  });
  expect(wrong.status).toBe(400);
  await berth('artifact', 'rm', 'evil.test/a:1');
}, 60_000);
