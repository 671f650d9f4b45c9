/** Copying in and out, of one large file and of many small ones; commits of what a container has written. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { SMALL } from '../images.ts';
import { type Round, type Scenario, timed } from '../scenario.ts';
import type { Engine } from '../engine.ts';

const LARGE_BYTES = 500_000_000;
const COMMIT_MB = 300;
const FILES = 5_000;
const FILES_PER_DIRECTORY = 100;

let sources: { readonly large: string; readonly tree: string } | undefined;

/** Made once, removed with the process. */
function makeSources(): { readonly large: string; readonly tree: string } {
  if (sources !== undefined) return sources;
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-files-'));
  process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
  const large = path.join(directory, 'large');
  const fd = fs.openSync(large, 'w');
  const piece = Buffer.alloc(1_000_000, 'some bytes that are no zeros ');
  for (let done = 0; done < LARGE_BYTES; done += piece.length) fs.writeSync(fd, piece);
  fs.closeSync(fd);
  const tree = path.join(directory, 'tree');
  for (let i = 0; i < FILES; i++) {
    const parent = path.join(tree, `d${Math.floor(i / FILES_PER_DIRECTORY)}`);
    if (i % FILES_PER_DIRECTORY === 0) fs.mkdirSync(parent, { recursive: true });
    fs.writeFileSync(path.join(parent, `file-${i}`), `content of file ${i}\n`.repeat(1 + (i % 100)));
  }
  sources = { large, tree };
  return sources;
}

const containers = new Map<Engine, string>();

async function runs(engine: Engine): Promise<void> {
  makeSources();
  const name = engine.fresh();
  containers.set(engine, name);
  await engine.run(['run', '-d', '--network', 'none', '--name', name, SMALL, 'sleep', '100000']);
}

async function speed(round: Round, metric: string, args: readonly string[]): Promise<void> {
  const { ms } = await round.engine.run(args);
  round.recorder.add(metric, round.engine.name, LARGE_BYTES / 1e3 / ms, 'MB/s');
}

export const cp: Scenario = {
  name: 'cp',
  what: '500 MB into a running container and out of it',
  rounds: 3,
  warmUps: 0,
  prepare: runs,
  round: async (round) => {
    const { engine } = round;
    const { large } = makeSources();
    const name = containers.get(engine) ?? '';
    const out = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-out-'));
    try {
      await speed(round, 'cp 500 MB in', ['cp', large, `${name}:/root/large`]);
      await speed(round, 'cp 500 MB out', ['cp', `${name}:/root/large`, path.join(out, 'large')]);
    } finally {
      fs.rmSync(out, { recursive: true, force: true });
      await engine.run(['exec', name, 'rm', '-rf', '/root/large']);
    }
  },
};

/** Places of the tree on this side, and how many trees there are in the containers. */
const trees: string[] = [];
let treesMade = 0;

/**
 * Into a tmpfs and out to one, too: there no disk hides what the engine does for each file. Trees on the disk stay till
 * the end: ext4 does not use the inode of a file that was removed in the last five minutes and looks at each of them for
 * every new file, which would cost more than all the copying and says nothing about engines.
 */
export const cpTree: Scenario = {
  name: 'cp-tree',
  what: 'a tree of 5,000 files into a running container and out of it, on the disk and in memory',
  rounds: 3,
  warmUps: 1,
  prepare: async (engine) => {
    makeSources();
    const name = engine.fresh();
    containers.set(engine, name);
    const mount = ['--mount', 'type=tmpfs,destination=/memory'];
    await engine.run(['run', '-d', '--network', 'none', ...mount, '--name', name, SMALL, 'sleep', '100000']);
  },
  round: async (round) => {
    const { engine } = round;
    const { tree } = makeSources();
    const name = containers.get(engine) ?? '';
    const inside = `tree-${treesMade++}`;
    const disk = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-out-'));
    trees.push(disk);
    const memory = fs.mkdtempSync('/dev/shm/bench-out-');
    try {
      await timed(round, 'cp 5,000 files in', ['cp', tree, `${name}:/root/${inside}`]);
      await timed(round, 'cp 5,000 files out', ['cp', `${name}:/root/${inside}`, path.join(disk, 'tree')]);
      await timed(round, 'cp 5,000 files in, tmpfs', ['cp', tree, `${name}:/memory/tree`]);
      await timed(round, 'cp 5,000 files out, tmpfs', ['cp', `${name}:/memory/tree`, path.join(memory, 'tree')]);
    } finally {
      fs.rmSync(memory, { recursive: true, force: true });
      await engine.run(['exec', name, 'rm', '-rf', '/memory/tree']);
    }
  },
  finish: async () => {
    for (const directory of trees.splice(0)) await fs.promises.rm(directory, { recursive: true, force: true });
  },
};

export const commit: Scenario = {
  name: 'commit',
  what: 'commit of 300 MB that a container has written, and of 5,000 files',
  rounds: 3,
  warmUps: 0,
  prepare: runs,
  round: async (round) => {
    const { engine, number } = round;
    const { tree } = makeSources();
    const name = containers.get(engine) ?? '';
    const inside = (line: string) => engine.run(['exec', name, 'sh', '-c', line]);
    // Not what was committed before: a layer that is known already would cost less.
    await inside(`yes "${number} ${engine.name}" | dd of=/root/large bs=1M count=${COMMIT_MB} iflag=fullblock; sync`);
    const image = (what: string) => `bench.test/commit-${what}:${process.pid}-${Math.abs(number)}`;
    try {
      await timed(round, 'commit 300 MB', ['commit', name, image('large')]);
      await inside('rm /root/large');
      await engine.run(['cp', tree, `${name}:/root/tree`]);
      await inside(`echo ${number} > /root/tree/number; sync`);
      await timed(round, 'commit 5,000 files', ['commit', name, image('tree')]);
    } finally {
      await inside('rm -rf /root/large /root/tree');
      for (const what of ['large', 'tree']) await engine.run(['rmi', '-f', image(what)]).catch(() => undefined);
    }
  },
};
