/** `berth cp`, `diff`, `export` and `commit` do what docker's do: the same cases by both, compared in all that is seen. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { type CommandResult, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const clients = ['docker', 'berth'] as const;
const command = (client: (typeof clients)[number], args: readonly string[], options = {}): Promise<CommandResult> =>
  client === 'docker' ? d.docker(args, options) : d.berth(args, options);

/** Kind, mode, owner, content or target of everything below. */
function tree(root: string): string[] {
  const lines: string[] = [];
  const walk = (directory: string): void => {
    for (const name of fs.readdirSync(directory).sort()) {
      const file = path.join(directory, name);
      const stat = fs.lstatSync(file);
      const what = stat.isSymbolicLink()
        ? `-> ${fs.readlinkSync(file)}`
        : stat.isFile()
          ? fs.readFileSync(file, 'utf8')
          : 'dir';
      lines.push(`${path.relative(root, file)} ${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid} ${what}`);
      if (stat.isDirectory()) walk(file);
    }
  };
  walk(root);
  return lines;
}

/** A directory with one of everything. */
function fill(directory: string): void {
  fs.mkdirSync(path.join(directory, 'tree/sub'), { recursive: true });
  fs.mkdirSync(path.join(directory, 'there'));
  fs.mkdirSync(path.join(directory, 'there/tree'));
  fs.writeFileSync(path.join(directory, 'tree/sub/f'), 'f in tree');
  fs.writeFileSync(path.join(directory, 'tree/run'), '#!', { mode: 0o4755 });
  fs.chmodSync(path.join(directory, 'tree/run'), 0o4755);
  fs.linkSync(path.join(directory, 'tree/sub/f'), path.join(directory, 'tree/twin'));
  fs.symlinkSync('sub/f', path.join(directory, 'tree/link'));
  fs.writeFileSync(path.join(directory, 'file'), 'a file');
  fs.chownSync(path.join(directory, 'file'), 1000, 1001);
  fs.writeFileSync(path.join(directory, 'other'), 'another');
  fs.symlinkSync('tree', path.join(directory, 'ltree'));
  fs.symlinkSync('file', path.join(directory, 'lfile'));
  fs.symlinkSync('there', path.join(directory, 'lthere'));
  fs.symlinkSync('nowhere', path.join(directory, 'broken'));
}

const sources = [
  'tree',
  'tree/',
  'tree/.',
  'file',
  'ltree',
  'ltree/',
  'ltree/.',
  'lfile',
  'broken',
  'none',
  'tree/link',
  'file/',
];
const targets = ['new', 'new/', 'there', 'there/', 'there/.', 'other', 'lthere', 'lthere/', 'lfile', 'none/below', '.'];

test('copies in and out are the same as docker’s in result, words and exit code', async () => {
  const base = fs.mkdtempSync(path.join(d.directory, 'cp-'));
  await d.must(['run', '-d', '--name', 'copies', '--network', 'none', '-v', `${base}:/work`, IMG, 'sleep', '1000']);
  for (const place of ['here', 'box']) fill(path.join(base, 'plain', place));
  const untouched = new Set(tree(path.join(base, 'plain')));
  let number = 0;
  const problems: string[] = [];
  const compare = async (direction: 'in' | 'out', source: string, target: string, flags: readonly string[]) => {
    number += 1;
    const seen: unknown[] = [];
    for (const client of clients) {
      const side = path.join(base, `${number}-${client}`);
      for (const place of ['here', 'box']) fill(path.join(side, place));
      const inside = (name: string) => `copies:/work/${number}-${client}/box/${name}`;
      const args = direction === 'in' ? [source, inside(target)] : [inside(source), target];
      const r = await command(client, ['cp', ...flags, ...args], { cwd: path.join(side, 'here') });
      // docker's library logs what it cannot pack because nobody reads it any more.
      const clean = (text: string) => text.replaceAll(`${number}-${client}`, 'N').replace(/^time=.*\n/gm, '');
      seen.push({
        code: r.code,
        out: clean(r.stdout),
        err: clean(r.stderr),
        tree: tree(side).filter((line) => !untouched.has(line)),
      });
      fs.rmSync(side, { recursive: true });
    }
    const [docker, berth] = seen.map((one) => JSON.stringify(one));
    if (docker !== berth) problems.push(`cp ${flags.join(' ')} ${direction} ${source} ${target}\n${docker}\n${berth}`);
  };
  for (const direction of ['in', 'out'] as const) {
    for (const [i, source] of sources.entries()) {
      // Every source and every target, not every pair.
      for (const target of targets.filter((_, j) => j === 0 || (i + j) % 4 === 0)) {
        await compare(direction, source, target, (i + target.length) % 3 === 0 ? ['-L'] : []);
      }
    }
  }
  await compare('in', 'file', 'there', ['-a']);
  expect(problems.join('\n')).toBe('');
  await d.must(['rm', '-f', 'copies']);
}, 300_000);

test('what is wrong is refused in docker’s words', async () => {
  const cases = [
    ['cp', 'a:b', 'c:d'],
    ['cp', './a', './b'],
    ['cp', '', 'b:/'],
    ['cp', 'nope:/etc', '.'],
    ['cp', './none', 'nope:/'],
    ['cp', 'x:/etc/passwd', '/none/below/f'],
    ['diff', 'nope'],
    ['export', 'nope'],
    ['commit', 'nope'],
  ];
  for (const args of cases) {
    const [docker, berth] = [await d.docker(args), await d.berth(args)];
    expect({ args, code: berth.code, err: berth.stderr }).toEqual({ args, code: docker.code, err: docker.stderr });
  }
});

test('tars by stdin and stdout, diff, export and commit', async () => {
  const here = fs.mkdtempSync(path.join(d.directory, 'rest-'));
  await d.must([
    'run',
    '-d',
    '--name',
    'rest',
    '--network',
    'none',
    IMG,
    'sh',
    '-c',
    'touch /tmp/x; rm /etc/group; sleep 1000',
  ]);
  await d.must(['exec', 'rest', 'sh', '-c', 'while [ -e /etc/group ]; do sleep 0.05; done']);
  fs.writeFileSync(path.join(here, 'f'), 'piped');
  const archive = await new Response(Bun.spawn(['tar', 'cf', '-', '-C', here, 'f'], { stdout: 'pipe' }).stdout).bytes();
  expect(await d.berth(['cp', '-', 'rest:/root'], { input: archive })).toMatchObject({ code: 0, stderr: '' });
  expect(await d.must(['exec', 'rest', 'cat', '/root/f'])).toBe('piped');
  expect((await d.berth(['cp', 'rest:/root/f', '-'])).stdout).toContain('piped');
  expect((await d.berth(['diff', 'rest'])).stdout).toBe((await d.docker(['diff', 'rest'])).stdout);
  const [one, two] = [path.join(here, 'one.tar'), path.join(here, 'two.tar')];
  expect((await d.berth(['export', '-o', one, 'rest'])).code).toBe(0);
  await d.must(['export', '-o', two, 'rest']);
  const list = async (file: string) => (await run('tar', ['tvf', file])).stdout;
  expect(await list(one)).toBe(await list(two));
  const committed = await d.berth(['commit', '-a', 'me', '-m', 'words', '-c', 'CMD ["x"]', 'rest', 'rest:1']);
  expect(committed.stdout.trim()).toBe(await d.must(['image', 'inspect', '-f', '{{.Id}}', 'rest:1']));
  expect(await d.must(['image', 'inspect', '-f', '{{.Author}} {{.Comment}} {{.Config.Cmd}}', 'rest:1'])).toBe(
    'me words [x]',
  );
  await d.must(['rm', '-f', 'rest']);
}, 60_000);
