/**
 * The suites run inside the test machine: cgroup v2, AppArmor, systemd and another kernel. Everything is ten to twenty
 * times slower there: limits are longer (BERTH_TEST_SLOW, slow-tests.ts), and daemons are the built executable, since Bun
 * takes up to half a minute to start on the sources. What each file said is in `build/vm-results.txt` as soon as it has
 * ended.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { must } from '../support/command.ts';
import { dockerCli, Machine } from './machine.ts';

const root = path.resolve(import.meta.dirname, '../..');
const SLOW = 15;
const FILE_LIMIT_MS = 30 * 60_000;
const RESULTS = path.join(root, 'build/vm-results.txt');
/** Clients of the next Debian, when they have been fetched for the suites outside. */
const CLIENTS = 'build/debian/trixie';
/** What wants packages that the machine has not, another engine's speed, or says of cgroup v1 what others say of v2. */
const ELSEWHERE = new RegExp(
  [
    ...[
      'side-by-side',
      'registryserver/clients',
      'image/(clients|between-hosts|podman)',
      'builder/session',
      'cgroup-v1',
    ],
    ...(fs.existsSync(path.join(root, CLIENTS)) ? [] : ['compose2', 'cosign', 'buildkit/']),
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

const FOLDERS = ['test/integration', 'test/security', 'test/fault', 'test/runtime'];
const suite = FOLDERS.flatMap(files)
  .filter((f) => !ELSEWHERE.test(f) && (only === undefined || only.some((part) => f.includes(part))))
  .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));

let vm: Machine;
beforeAll(async () => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-vm-suite-'));
  try {
    await must('npm', ['run', 'build'], { cwd: root, limitMs: 180_000 });
    const tree = path.join(work, 'tree.tar');
    const clients = path.join(work, 'clients.tar');
    const fetched = fs.existsSync(path.join(root, CLIENTS)) ? [CLIENTS] : ['-T', '/dev/null'];
    await must('tar', ['-hcf', clients, '--exclude=.[a-z]*', ...fetched], { cwd: root });
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
      payload: {
        'tree.tar': tree,
        'clients.tar': clients,
        bun,
        docker: dockerCli(),
        berth: path.join(root, 'dist/berth'),
      },
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
      'mkdir -p /root/berth/node_modules/.bin; cd /root/berth; tar xf /berth/tree.tar; tar xf /berth/clients.tar',
      // Instead of the shell script that runs the sources.
      'install -m 755 /berth/berth berth',
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
    const started = performance.now();
    const env = `HOME=/root PATH=$PWD/node_modules/.bin:$PATH BERTH_TEST_SLOW=${SLOW} BERTH_TEST_EXECUTABLE=$PWD/berth`;
    const bunTest = `bun test --preload ./test/support/slow-tests.ts --timeout ${SLOW * 120_000}`;
    const r = await vm.run(`cd /root/berth; ${env} ${bunTest} ./${file}`, FILE_LIMIT_MS);
    const counts = [...r.output.matchAll(/^ *(\d+ (?:pass|fail|skip))$/gm)].map(([, count]) => count);
    const seconds = Math.round((performance.now() - started) / 1000);
    fs.appendFileSync(RESULTS, `${file}: ${counts.join(', ')}, ${seconds} s\n`);
    const failed = r.output.split('\n').filter((line) => line.startsWith('(fail)'));
    if (r.code !== 0) console.log(r.output);
    expect({ failed, code: r.code }).toEqual({ failed: [], code: 0 });
  },
  FILE_LIMIT_MS + 10_000,
);
