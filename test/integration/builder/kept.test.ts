/** Contexts are kept: what has changed is sent and placed, and every image is what a build from nothing would be. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { TarParser } from '../../../src/pkg/archive/parser.ts';
import { BASE, BuildDirectory } from '../../support/build-context.ts';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const LIMIT_MS = 120_000;
let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await TestDaemon.start({ noBridge: true });
}, LIMIT_MS);
afterAll(async () => daemon[Symbol.asyncDispose](), LIMIT_MS);

/** Directories' own times are the file system's, not the context's. */
function line(name: string, kind: string, fields: readonly unknown[]): string {
  return `${name} ${kind} ${fields.join(' ')}`;
}

function listingOf(directory: string, below = ''): string[] {
  return fs
    .readdirSync(path.join(directory, below))
    .flatMap((entry) => {
      const name = path.join(below, entry);
      const full = path.join(directory, name);
      const status = fs.lstatSync(full);
      const seconds = Math.floor(status.mtimeMs / 1000);
      const mode = (status.mode & 0o7777).toString(8);
      if (status.isSymbolicLink()) return [line(name, 'symlink', [fs.readlinkSync(full), seconds])];
      if (status.isDirectory()) return [line(name, 'directory', [mode, seconds]), ...listingOf(directory, name)];
      return [line(name, 'file', [mode, seconds, fs.readFileSync(full).toString('latin1')])];
    })
    .sort();
}

/** What is below /app in an image, as its archive says. */
async function imageListing(image: string): Promise<string[]> {
  const file = path.join(daemon.directory, 'exported.tar');
  const container = await daemon.must(['create', '--network', 'none', image, 'true']);
  try {
    await daemon.must(['export', '-o', file, container]);
  } finally {
    await daemon.must(['rm', container]);
  }
  const found: string[] = [];
  const content = new Map<string, string>();
  let current: { name: string; kind: string; head: unknown[]; text: string } | undefined;
  const parser = new TarParser({
    entry: (entry) => {
      current = undefined;
      if (!entry.path.startsWith('app/')) return;
      const name = entry.path.slice('app/'.length).replace(/\/$/, '');
      if (name === '') return;
      const mode = entry.mode.toString(8);
      if (entry.uid !== 0 || entry.gid !== 0) found.push(`${name} belongs to ${entry.uid}:${entry.gid}`);
      if (entry.type === 'symlink') found.push(line(name, 'symlink', [entry.linkPath, entry.mtimeSeconds]));
      else if (entry.type === 'directory') found.push(line(name, 'directory', [mode, entry.mtimeSeconds]));
      else {
        current = { name, kind: 'file', head: [mode, entry.mtimeSeconds], text: '' };
        if (entry.type === 'hardlink') {
          current.text = content.get(entry.linkPath) ?? '';
          found.push(line(name, 'file', [...current.head, current.text]));
          current = undefined;
        } else if (entry.size === 0) {
          found.push(line(name, 'file', [...current.head, '']));
          current = undefined;
        }
      }
    },
    data: (chunk, start, end) => {
      if (current !== undefined) current.text += chunk.toString('latin1', start, end);
    },
    end: () => {
      if (current === undefined) return;
      content.set(`app/${current.name}`, current.text);
      found.push(line(current.name, 'file', [...current.head, current.text]));
      current = undefined;
    },
  });
  parser.push(fs.readFileSync(file));
  parser.finish();
  return found.sort();
}

const contextBytes = async (): Promise<number> => {
  const { body } = await daemon.request('GET', '/berth/build/cache');
  // as: the shape of the route's answer.
  const entries = body as readonly { readonly Type: string; readonly Size: number }[];
  return entries.filter(({ Type }) => Type === 'source.local').reduce((sum, { Size }) => sum + Size, 0);
};

const build = async (tag: string, directory: BuildDirectory, ...args: string[]): Promise<string> => {
  const { code, stderr } = await daemon.berth(['build', '-t', tag, ...args, directory.path], { limitMs: LIMIT_MS });
  if (code !== 0) throw new Error(stderr);
  return stderr;
};

const DOCKERFILE = `FROM ${BASE}\nCOPY . /app\n`;

function many(): Record<string, string> {
  const files: Record<string, string> = {};
  for (let i = 0; i < 60; i++) files[`d${i % 6}/sub/f${i}`] = `content of ${i}\n`.repeat(i + 1);
  return files;
}

test(
  'each kind of change: the image is what the directory is, and its layers are what they say',
  async () => {
    using directory = new BuildDirectory(DOCKERFILE, many());
    const at = (name: string): string => path.join(directory.path, name);
    const changes: (readonly [what: string, change: () => void])[] = [
      ['nothing', () => undefined],
      ['a content', () => directory.write('d1/sub/f1', 'changed')],
      ['the same content anew', () => directory.write('d1/sub/f1', 'changed')],
      ['a mode and a time', () => (fs.chmodSync(at('d2/sub/f2'), 0o755), fs.utimesSync(at('d3/sub/f3'), 77, 1234567))],
      ['new files and directories', () => directory.write('new/deep/file', 'new')],
      ['a file that is gone', () => fs.rmSync(at('d4/sub/f4'))],
      ['a directory that is gone', () => fs.rmSync(at('new'), { recursive: true })],
      ['links', () => (fs.symlinkSync('f1', at('d1/sub/link')), fs.symlinkSync('../nowhere', at('dangling')))],
      ['another link', () => (fs.rmSync(at('d1/sub/link')), fs.symlinkSync('f7', at('d1/sub/link')))],
      ['a link becomes a file', () => (fs.rmSync(at('dangling')), directory.write('dangling', 'file'))],
      ['a file becomes a directory', () => (fs.rmSync(at('dangling')), directory.write('dangling/in', 'it'))],
      [
        'a directory becomes a file',
        () => (fs.rmSync(at('dangling'), { recursive: true }), directory.write('dangling', '')),
      ],
      ['two names of a file', () => fs.linkSync(at('d5/sub/f5'), at('d5/sub/second'))],
      ['one of them again', () => (fs.rmSync(at('d5/sub/second')), directory.write('d5/sub/f5', 'alone'))],
      ['a name that is no text', () => fs.writeFileSync(Buffer.from(`${at('d0')}/\xff\xfe`, 'latin1'), 'odd')],
      ['that one gone', () => fs.rmSync(Buffer.from(`${at('d0')}/\xff\xfe`, 'latin1'))],
      ['names in UTF-8', () => directory.write('d0/größe/ü', 'u')],
    ];
    for (const [what, change] of changes) {
      change();
      await build('kept:1', directory);
      // Times alone build nothing anew.
      if (['the same content anew', 'a name that is no text', 'that one gone'].includes(what)) continue;
      const found = (await imageListing('kept:1')).map((text) => Buffer.from(text, 'latin1').toString());
      const expected = listingOf(directory.path);
      expect([what, found]).toEqual([what, expected]);
    }
    // Tars that nobody wrote are made of the files, and checked.
    const saved = path.join(daemon.directory, 'saved.tar');
    await daemon.must(['save', '-o', saved, 'kept:1']);
    await daemon.must(['rmi', 'kept:1']);
    expect(await daemon.must(['load', '-i', saved])).toContain('kept:1');
    const again = (await imageListing('kept:1')).map((text) => Buffer.from(text, 'latin1').toString());
    expect(again).toEqual(listingOf(directory.path));
  },
  LIMIT_MS,
);

test(
  'one changed file is all that is sent and placed, by berth and by docker; files have one name; prune and removal',
  async () => {
    using directory = new BuildDirectory(DOCKERFILE, {
      ...many(),
      'large/a': 'a'.repeat(1 << 20),
      'large/b': 'b'.repeat(1 << 20),
    });
    await daemon.must(['builder', 'prune', '-af']);
    await build('kept:2', directory);
    const before = await contextBytes();
    expect(before).toBeGreaterThan(2 << 20);
    directory.write('d1/sub/f1', 'changed');
    await build('kept:3', directory);
    expect(await contextBytes()).toBeLessThan(before + (64 << 10));
    const docker = async (tag: string): Promise<void> => {
      const env = { DOCKER_BUILDKIT: '0' };
      const { code, stderr } = await daemon.docker(['build', '-q', '-t', tag, directory.path], { env });
      if (code !== 0) throw new Error(stderr);
    };
    await docker('classic:1');
    const both = await contextBytes();
    directory.write('d1/sub/f1', 'changed again');
    await docker('classic:2');
    expect(await contextBytes()).toBeLessThan(both + (64 << 10));
    const script = 'stat -c %h /app/large/a /app/d1/sub/f1; cat /app/d1/sub/f1';
    const inside = (image: string) => daemon.must(['run', '--rm', '--network', 'none', image, 'sh', '-c', script]);
    expect(await inside('classic:2')).toBe('1\n1\nchanged again');
    // The layer that others lie over is needed as long as they are.
    await daemon.must(['rmi', 'kept:2']);
    await daemon.must(['builder', 'prune', '-af']);
    expect(await contextBytes()).toBe(0);
    expect(await inside('kept:3')).toBe('1\n1\nchanged');
    await daemon.restart();
    expect(await inside('kept:3')).toBe('1\n1\nchanged');
    expect(await inside('classic:2')).toBe('1\n1\nchanged again');
    await build('kept:3', directory);
    expect(await inside('kept:3')).toBe('1\n1\nchanged again');
    await daemon.must(['rmi', 'kept:3', 'classic:1', 'classic:2']);
    await daemon.must(['builder', 'prune', '-af']);
    const left = fs.readdirSync(path.join(daemon.dataRoot, 'overlay')).filter((name) => name.length === 64);
    const layers = await daemon.must(['image', 'ls', '-q']);
    expect([left.length, layers.split('\n').length]).toEqual([await layersOfAll(), layers.split('\n').length]);
  },
  LIMIT_MS,
);

/** Layers of the images that are left. */
async function layersOfAll(): Promise<number> {
  const ids = (await daemon.must(['image', 'ls', '-q', '--no-trunc'])).split('\n').filter((id) => id !== '');
  const layers = new Set<string>();
  for (const id of ids) {
    const text = await daemon.must(['inspect', '-f', '{{join .RootFS.Layers "+"}}', id]);
    for (const [index] of text.split('+').entries())
      layers.add(
        text
          .split('+')
          .slice(0, index + 1)
          .join('+'),
      );
  }
  return layers.size;
}

test(
  'COPY over what is in the image, wildcards, exclusions, owners and modes',
  async () => {
    using directory = new BuildDirectory(
      `FROM ${BASE}\nRUN mkdir -p /app/d1/sub && echo below > /app/d1/sub/f1 && echo mine > /app/own && ln -s /app /linked\n` +
        'COPY . /app\nCOPY --chown=3:4 --chmod=0600 d1/sub/f* /files/\nCOPY d2 d3 /both/\nCOPY d1/sub/f1 /linked/one\nADD d4 /added\n',
      { ...many(), '.dockerignore': 'd5\n!d5/sub/f5\n' },
    );
    const look = async () => {
      await build('kept:4', directory);
      const script =
        'cat /app/d1/sub/f1 /app/own; find /app/d5 | sort; ls -ln /files | cut -c1-20; ls /both/sub /added; cat /app/one';
      return daemon.must(['run', '--rm', '--network', 'none', 'kept:4', 'sh', '-c', script]);
    };
    const first = await look();
    expect(first).toContain('content of 1');
    expect(first).toContain('mine');
    expect(first).toContain('/app/d5/sub/f5');
    expect(first).not.toContain('f11\n/app/d5');
    fs.rmSync(path.join(directory.path, 'd1/sub/f1'));
    directory.write('d1/sub/f7', 'seven');
    directory.write(
      'Dockerfile',
      fs.readFileSync(path.join(directory.path, 'Dockerfile'), 'utf8').replace('/f1 /', '/f7 /'),
    );
    // What was hidden is seen again.
    const second = await look();
    expect(second).toMatch(/^below\nmine\n/);
    expect(second).toMatch(/seven$/);
  },
  LIMIT_MS,
);

test(
  'an account that is not true any more, and one of another daemon, cost a whole transfer and nothing else',
  async () => {
    using directory = new BuildDirectory(DOCKERFILE, many());
    await build('kept:5', directory);
    const accounts = path.join(daemon.directory, 'cache/berth/contexts');
    const saved = path.join(daemon.directory, 'accounts');
    fs.cpSync(accounts, saved, { recursive: true });
    directory.write('d0/sub/f0', 'newer');
    await build('kept:5', directory);
    // An older account: the generation is another.
    fs.rmSync(accounts, { recursive: true });
    fs.cpSync(saved, accounts, { recursive: true });
    directory.write('d0/sub/f6', 'newest');
    await build('kept:5', directory);
    for (const name of fs.readdirSync(accounts)) {
      if (name.endsWith('.json')) fs.writeFileSync(path.join(accounts, name), '{"generation":"x","rows":[[1]]}');
    }
    await build('kept:5', directory);
    expect(await imageListing('kept:5')).toEqual(listingOf(directory.path));
    const cut = await run('curl', [
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '--unix-socket',
      daemon.socket,
      '-X',
      'POST',
      '-H',
      'Content-Type: application/x-tar',
      '--data-binary',
      'x',
      'http://d/build?kept=k&changesof=nothing',
    ]);
    expect(cut.stdout).toBe('409');
  },
  LIMIT_MS,
);

test(
  'without overlay each copy is a full one of what is kept',
  async () => {
    await using vfs = await TestDaemon.start({ noBridge: true, args: ['--storage-driver', 'vfs'] });
    using directory = new BuildDirectory(`FROM ${BASE}\nRUN mkdir /app && echo old > /app/old\nCOPY . /app\n`, many());
    const made = async (tag: string): Promise<string> => {
      const { code, stderr } = await vfs.berth(['build', '--network=none', '-t', tag, directory.path]);
      expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
      return vfs.must([
        'run',
        '--rm',
        '--network',
        'none',
        tag,
        'sh',
        '-c',
        'cd /app && cat old $(find d* -type f | sort) | sha256sum',
      ]);
    };
    const first = await made('vfs:1');
    directory.write('d1/sub/f1', 'changed');
    const second = await made('vfs:2');
    expect(second).not.toBe(first);
    // The image is what it says: its layers come back from an archive.
    const saved = path.join(vfs.directory, 'saved.tar');
    await vfs.must(['save', '-o', saved, 'vfs:2']);
    await vfs.must(['rmi', 'vfs:2']);
    await vfs.must(['load', '-q', '-i', saved]);
    directory.write('d1/sub/f1', 'content of 1\n'.repeat(2));
    expect(await made('vfs:1')).toBe(first);
  },
  LIMIT_MS,
);
