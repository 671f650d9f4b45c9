/**
 * The suites that have to do with containers, run from source inside the test machine: cgroup v2, AppArmor, systemd and
 * another kernel. Everything is several times slower there, so limits are (BERTH_TEST_SLOW).
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { must } from '../support/command.ts';
import { dockerCli, Machine } from './machine.ts';

const root = path.resolve(import.meta.dirname, '../..');
const SLOW = 8;
const FILE_LIMIT_MS = 20 * 60_000;
/** What needs another engine, or has nothing to do with the kernel. */
const ELSEWHERE = new RegExp(
  [
    ...['side-by-side', 'compose', 'client/client', 'load-save', 'registry', 'registryserver', 'distribution'],
    ...['cli/(images|contexts|manifest|debug|every-flag|links)', 'image/(art|auto|between|platforms|upkeep)'],
  ].join('|'),
);
/** Nearest to the kernel first, so that a run that is cut off has said the most. */
const FIRST = ['cgroups', 'libcontainer', 'resources', 'stats', 'userns', 'storage', 'network', 'security', 'volumes'];
const rank = (file: string): number => {
  const at = FIRST.findIndex((part) => file.includes(`/${part}/`));
  return at < 0 ? FIRST.length : at;
};
/** Parts of file names, separated by commas. */
const only = process.env['BERTH_VM_ONLY']?.split(',');

function files(directory: string): string[] {
  const found = fs.readdirSync(path.join(root, directory), { recursive: true, encoding: 'utf8' });
  return found.filter((f) => f.endsWith('.test.ts')).map((f) => path.join(directory, f));
}

const suite = [...files('test/integration'), ...files('test/security'), ...files('test/runtime')]
  .filter((f) => !ELSEWHERE.test(f) && (only === undefined || only.some((part) => f.includes(part))))
  .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));

let vm: Machine;
beforeAll(async () => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-vm-suite-'));
  try {
    const tree = path.join(work, 'tree.tar');
    await must(
      'sh',
      [
        '-c',
        'git ls-files -z | tar --null -T - -hcf "$1" --add-file=node_modules/fast-check --add-file=node_modules/pure-rand',
        'sh',
        tree,
      ],
      { cwd: root },
    );
    const bun = fs.realpathSync(path.join(root, 'node_modules/bun/bin/bun.exe'));
    vm = await Machine.boot({
      payload: { 'tree.tar': tree, bun, docker: dockerCli() },
      flavour: 'whole',
      memoryMegabytes: 4096,
    });
  } finally {
    fs.rmSync(work, { recursive: true });
  }
  await vm.must(
    [
      'set -e',
      'install -m 755 /berth/docker /usr/local/bin',
      'mkdir -p /root/berth/node_modules/.bin; cd /root/berth; tar xf /berth/tree.tar',
      'mkdir -p node_modules/bun/bin; install -m 755 /berth/bun node_modules/bun/bin/bun.exe',
      'ln -s ../bun/bin/bun.exe node_modules/.bin/bun',
    ].join('\n'),
    180_000,
  );
}, 900_000);
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
}, 60_000);

test.each(suite)(
  '%s',
  async (file) => {
    const r = await vm.run(
      `cd /root/berth; HOME=/root PATH=$PWD/node_modules/.bin:$PATH BERTH_TEST_SLOW=${SLOW} bun test --timeout ${SLOW * 120_000} ./${file}`,
      FILE_LIMIT_MS,
    );
    const failed = r.output.split('\n').filter((line) => line.startsWith('(fail)'));
    if (r.code !== 0) console.log(r.output);
    expect({ failed, code: r.code }).toEqual({ failed: [], code: 0 });
  },
  FILE_LIMIT_MS + 10_000,
);
