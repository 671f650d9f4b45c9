/** What buildx has sent is kept: the next build of the same directory is sent what has changed, and sees just that. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { withPlugins } from '../../support/next-debian.ts';

const LIMIT = 120_000;
const BASE = 'berth.test/busybox:1';
let d: TestDaemon;
let config: string;
let directories = 0;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  config = await withPlugins(path.join(d.directory, 'plugins'), ['docker-buildx']);
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

function write(file: string, text: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

function context(files: Readonly<Record<string, string>>): string {
  const directory = path.join(d.directory, `kept-${directories++}`);
  for (const [name, text] of Object.entries(files)) write(path.join(directory, name), text);
  return directory;
}

async function build(args: readonly string[]): Promise<string> {
  const all = ['-H', `unix://${d.socket}`, 'buildx', 'build', '--progress=plain', ...args];
  const { code, stderr } = await run('docker', all, { env: { DOCKER_CONFIG: config }, limitMs: 100_000 });
  if (code !== 0) throw new Error(stderr);
  return stderr;
}

/** Bytes of the last transfer of a context that a build tells of; 0 for none. */
function sent(progress: string): number {
  const [, amount = '0', unit = 'B'] = /transferring context: ([\d.]+)(B|kB|MB)[^\n]* done/.exec(progress) ?? [];
  return Number(amount) * { B: 1, kB: 1000, MB: 1_000_000 }[unit as 'B' | 'kB' | 'MB'];
}

/** Everything about files but owners and times, which no cache looks at. */
function listing(directory: string, below = ''): string[] {
  return fs
    .readdirSync(path.join(directory, below))
    .sort()
    .flatMap((name) => {
      const at = path.join(below, name);
      const full = path.join(directory, at);
      const status = fs.lstatSync(full);
      const mode = (status.mode & 0o7777).toString(8);
      if (status.isSymbolicLink()) return [`${at} -> ${fs.readlinkSync(full)}`];
      if (status.isDirectory()) return [`${at}/ ${mode}`, ...listing(directory, at)];
      return [`${at} ${mode} ${fs.readFileSync(full, 'latin1')}`];
    });
}

test(
  'each kind of change: the result is what the directory is, and no more is sent than has changed',
  async () => {
    const files: Record<string, string> = { Dockerfile: 'FROM scratch\nCOPY . /\n' };
    for (let i = 0; i < 60; i++) files[`d${i % 5}/sub/f${i}`] = `content of ${i}\n`.repeat(200);
    const directory = context(files);
    const at = (name: string) => path.join(directory, name);
    const out = path.join(d.directory, 'out');
    const few = 12_000;
    const whole = 100_000;
    const changes: readonly (readonly [what: string, mostBytes: number, change: () => void])[] = [
      ['all of it', 2_000_000, () => undefined],
      ['nothing', few, () => undefined],
      ['a content', few, () => write(at('d1/sub/f1'), 'changed')],
      ['a mode', few, () => fs.chmodSync(at('d2/sub/f2'), 0o755)],
      ['a new file', few, () => write(at('new/deep/file'), 'new')],
      ['a file that is gone', few, () => fs.rmSync(at('d4/sub/f4'))],
      ['a directory that is gone', few, () => fs.rmSync(at('d3'), { recursive: true })],
      [
        'kinds of files',
        few,
        () => {
          fs.rmSync(at('new'), { recursive: true });
          write(at('new'), 'a file now');
          fs.rmSync(at('d1/sub/f1'));
          write(at('d1/sub/f1/inner'), 'a directory now');
          fs.rmSync(at('d1/sub/f6'));
          fs.symlinkSync('../../d2', at('d1/sub/f6'));
        },
      ],
      ['two names of a file', few, () => fs.linkSync(at('d1/sub/f11'), at('d1/sub/linked'))],
      ['its content, by one of them', few, () => fs.writeFileSync(at('d1/sub/linked'), 'by the other name')],
      ['only one of them again', few, () => fs.rmSync(at('d1/sub/f11'))],
      ['a name that is no ASCII', few, () => write(at('d2/späße'), 'text')],
      [
        'a time that programs set, and the same again with another content',
        few,
        () => fs.utimesSync(at('d2/sub/f7'), 1000, 1000),
      ],
      [
        'the same size and whole second',
        few,
        () => {
          const before = fs.readFileSync(at('d2/sub/f7'), 'utf8');
          fs.writeFileSync(at('d2/sub/f7'), before.toUpperCase());
          fs.utimesSync(at('d2/sub/f7'), 1000, 1000);
        },
      ],
      ['an ignore file', few, () => write(at('.dockerignore'), 'd2\n')],
      ['none', whole, () => fs.rmSync(at('.dockerignore'))],
    ];
    for (const [what, mostBytes, change] of changes) {
      change();
      fs.rmSync(out, { recursive: true, force: true });
      const bytes = sent(await build(['-o', out, directory]));
      const ignored = fs.existsSync(at('.dockerignore'));
      const expected = listing(directory).filter((line) => !ignored || !line.startsWith('d2/'));
      expect([what, listing(out)]).toEqual([what, expected]);
      expect([what, bytes > 0 && bytes <= mostBytes ? 'few' : bytes]).toEqual([what, 'few']);
    }
  },
  LIMIT,
);

test(
  'directories of one name, side by side: each build has its own files; after kill -9 all is sent again or was kept',
  async () => {
    const made = ['a', 'b', 'c'].map((name) => {
      const below = path.join(d.directory, `same-${name}`, 'app');
      write(path.join(below, 'Dockerfile'), 'FROM scratch\nCOPY . /\n');
      write(path.join(below, 'which'), name);
      return below;
    });
    const outputs = async (): Promise<string[]> => {
      const built = made.map(async (directory, index) => {
        const out = path.join(d.directory, `same-out-${index}`);
        await build(['-o', out, directory]);
        return fs.readFileSync(path.join(out, 'which'), 'utf8');
      });
      // Nothing of them is under way any more when one has failed.
      await Promise.allSettled(built);
      return Promise.all(built);
    };
    expect(await outputs()).toEqual(['a', 'b', 'c']);
    await d.kill();
    await d.launch({ BERTH_FAILPOINTS: 'build.context-kept=kill' });
    expect((await Promise.allSettled([outputs()])).map(({ status }) => status)).toEqual(['rejected']);
    await d.ended(60_000);
    await d.launch();
    write(path.join(made[1] ?? '', 'which'), 'B');
    expect(await outputs()).toEqual(['a', 'B', 'c']);
  },
  LIMIT,
);

test(
  'further contexts have an ignore file of their own, and only what is taken of them is sent; triggers want more',
  async () => {
    const directory = context({
      Dockerfile: `FROM scratch\nCOPY one /\nCOPY --from=lib two /\n`,
      '.dockerignore': 'two\n',
      one: '1',
    });
    const lib = context({ two: '2', large: 'x'.repeat(300_000), '.dockerignore': 'three\n', three: '3' });
    const out = path.join(d.directory, 'named-out');
    const progress = await build(['--build-context', `lib=${lib}`, '-o', out, directory]);
    expect(listing(out).map((line) => line.split(' ')[0])).toEqual(['one', 'two']);
    expect(progress).toMatch(/\[context lib\] load from client\n#\d+ transferring lib: \d+B/);
    fs.writeFileSync(path.join(directory, 'Dockerfile'), `FROM scratch\nCOPY --from=lib . /\n`);
    fs.rmSync(out, { recursive: true });
    await build(['--build-context', `lib=${lib}`, '-o', out, directory]);
    expect(listing(out).map((line) => line.split(' ')[0])).toEqual(['.dockerignore', 'large', 'two']);
    const trigger = context({ Dockerfile: `FROM ${BASE}\nONBUILD COPY late /late\n` });
    await build(['-t', 'trigger:1', trigger]);
    const later = context({ Dockerfile: 'FROM trigger:1\nCOPY early /early\n', late: 'late', early: 'early' });
    await build(['-t', 'triggered:1', later]);
    expect(await d.must(['run', '--rm', '--network', 'none', 'triggered:1', 'cat', '/late', '/early'])).toBe(
      'lateearly',
    );
  },
  LIMIT,
);
