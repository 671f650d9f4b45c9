// npm test [SUITE…]: installs what is missing, runs the suites and ends with "N passed, N failed, N skipped".
// Plain Node, because Bun itself may not be installed yet.
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
process.chdir(root);

/**
 * Folders (or file patterns) of each suite. `perFile`: each file runs in a process of its own, with that time; `lanes`: so
 * many at once. Files whose name matches `oneByOne` want the same ports of the host and stay in one lane.
 */
const suites = {
  check: { paths: ['tools'], minutes: 3 },
  unit: { paths: ['src'], minutes: 10 },
  runtime: { paths: ['test/runtime'], minutes: 5 },
  fuzz: { paths: ['test/fuzz'], minutes: 5 },
  integration: { paths: ['test/integration'], minutes: 10, perFile: true, lanes: 2, oneByOne: /network/ },
  fault: { paths: ['test/fault'], minutes: 10, perFile: true },
  security: { paths: ['test/security'], minutes: 10, perFile: true },
  conformance: { paths: ['test/conformance'], minutes: 10, perFile: true },
  'vm-smoke': { paths: ['test/vm/smoke.test.ts'], minutes: 12, perFile: true },
  // The container suites inside the machine take two to four hours.
  vm: { paths: ['test/vm'], minutes: 300, perFile: true },
  soak: { paths: ['test/soak'], minutes: 60, perFile: true },
};
const PACKAGES = [
  'libseccomp2',
  'libnftables1',
  'busybox-static',
  'nftables',
  'iproute2',
  'golang-github-containers-common',
  'skopeo',
  'docker-registry',
  'strace',
];

const asked = process.argv.slice(2);
// `vm --inside[=WORDS]`: only the suites inside the machine, of them only files with one of these words.
const inside = asked.findIndex((word) => word.startsWith('--inside'));
if (inside >= 0) {
  const [, words = ''] = asked.splice(inside, 1)[0].split('=');
  if (words !== '') process.env.BERTH_VM_ONLY = words;
  suites.vm.paths = ['test/vm/suite.test.ts'];
}
const chosen = asked.length > 0 ? asked : Object.keys(suites).filter((s) => !/^(vm|vm-smoke|soak)$/.test(s));
for (const name of chosen) {
  if (suites[name] === undefined) {
    console.error(`no suite "${name}"; there are ${Object.keys(suites).join(', ')}`);
    process.exit(2);
  }
}

function sh(program, args, options = {}) {
  const r = spawnSync(program, args, { stdio: 'inherit', ...options });
  if (r.status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${r.status ?? r.signal}`);
}

/** Client libraries that drive the daemon, with a lock of their own. */
const CLIENT_PACKAGES = 'test/conformance/node';

/** What needs clients of the next Debian says so by this import. */
const NEXT_DEBIAN = 'support/next-debian.ts';
const NEXT_PACKAGES = ['docker-buildx', 'docker-compose', 'cosign', 'oras'];
let nextDebian = true;

/** Fetched before the tests want them; where that archive cannot be reached their files are skipped, with that reason. */
function fetchClients() {
  const files = chosen.flatMap((name) => suites[name].paths.flatMap((p) => testFiles(p)));
  if (!files.some((file) => fs.readFileSync(file, 'utf8').includes(NEXT_DEBIAN))) return;
  const args = [`test/${NEXT_DEBIAN}`, ...NEXT_PACKAGES];
  const ran = spawnSync('node_modules/.bin/bun', args, { encoding: 'utf8' });
  nextDebian = ran.status === 0;
  if (!nextDebian) console.log(`no packages of the next Debian: ${ran.stderr.slice(-500)}`);
}

/** The files of a suite that can run here. */
function filesOf(suite) {
  return suite.paths
    .flatMap((p) => testFiles(p))
    .filter((file) => {
      if (nextDebian || !fs.readFileSync(file, 'utf8').includes(NEXT_DEBIAN)) return true;
      total.skipped += 1;
      total.notes.push(`skipped: ${file}: the archive of the next Debian cannot be reached`);
      return false;
    });
}

function setUp() {
  if (!fs.existsSync('node_modules/.bin/bun')) sh('npm', ['ci', '--no-audit', '--no-fund']);
  if (chosen.includes('conformance') && !fs.existsSync(`${CLIENT_PACKAGES}/node_modules`)) {
    sh('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: CLIENT_PACKAGES });
  }
  if (process.getuid?.() !== 0) return;
  const missing = PACKAGES.filter(
    (p) => !['', ':amd64', ':arm64'].some((a) => fs.existsSync(`/var/lib/dpkg/info/${p}${a}.list`)),
  );
  const clientMissing = !(process.env.PATH ?? '').split(':').some((d) => fs.existsSync(path.join(d, 'docker')));
  if (clientMissing) missing.push('docker.io');
  if (missing.length === 0) return;
  const policy = '/usr/sbin/policy-rc.d'; // installing docker.io must not start its daemon
  const made = !fs.existsSync(policy);
  if (made) fs.writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    sh('apt-get', ['update', '-qq'], { env });
    sh('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  } finally {
    if (made) fs.rmSync(policy);
  }
}

function testFiles(directory, into = []) {
  if (!fs.existsSync(directory)) return into;
  if (directory.endsWith('.ts')) return [directory];
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const name = path.join(directory, entry.name);
    if (entry.isDirectory()) testFiles(name, into);
    else if (entry.name.endsWith('.test.ts')) into.push(name);
  }
  return into.sort((a, b) => (a < b ? -1 : 1));
}

const total = { passed: 0, failed: 0, skipped: 0, notes: [], failures: [] };

/** More broken files than this are no accident: they are not run again. */
const MOST_REPEATED = 6;
let repeated = 0;

/** What `bun test` printed of each failed test: its file, its name, the lines before its mark. */
function failedTests(text) {
  const found = [];
  let file = '';
  let since = [];
  for (const line of text.split('\n')) {
    // From here on it repeats what it has said.
    if (/^\d+ tests? (?:failed|skipped|todo):$/.test(line)) break;
    const heading = /^(\S+\.test\.ts):$/.exec(line);
    const mark = /^\((pass|fail|skip|todo)\) (.*?)(?: \[[\d.]+ms\])?$/.exec(line);
    if (heading) file = heading[1];
    if (mark?.[1] === 'fail') found.push({ file, name: mark[2], lines: since.slice(-40) });
    if (heading || mark) since = [];
    else since.push(line);
  }
  return found;
}

/** One `bun test`; resolves with its closing counts and what failed. Its output passes through, with `whole` at its end. */
function bunTest(files, minutes, whole = false) {
  return new Promise((resolve) => {
    const args = ['test', '--timeout', '120000', ...files.map((f) => `./${f}`)];
    const child = spawn(path.resolve('node_modules/.bin/bun'), args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    const take = (stream) => (b) => {
      text += b;
      if (!whole) stream.write(b);
    };
    child.stdout.on('data', take(process.stdout));
    child.stderr.on('data', take(process.stderr));
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, minutes * 60_000);
    child.on('close', (code) => {
      clearTimeout(timer);
      if (whole) process.stdout.write(text);
      const count = (word) => Number(new RegExp(`^\\s*(\\d+) ${word}$`, 'm').exec(text.slice(-2000))?.[1] ?? 0);
      const failures = failedTests(text);
      let failed = count('fail');
      if (late || (code !== 0 && failed === 0)) {
        failed += 1;
        const name = late ? `killed after ${minutes} minutes` : `ended with ${code} and no failed test`;
        failures.push({ file: files.length === 1 ? files[0] : '', name, lines: text.split('\n').slice(-40) });
      }
      const skips = [...text.matchAll(/^\(skip\) (.*)$/gm)].map((line) => `skipped: ${line[1]}`);
      resolve({ passed: count('pass'), failed, skipped: count('skip'), skips, failures, late });
    });
  });
}

/**
 * Runs files and adds up. A failed file is run once more, alone: what passes then is named at the end as not
 * dependable, which is a defect to mend, but does not stop a change that has nothing to do with it.
 */
async function runFiles(files, minutes) {
  await judge(await bunTest(files, minutes), minutes);
}

/** Each file by itself, several at once; what failed is repeated when the others are done. */
async function runLanes(files, { minutes, lanes, oneByOne }) {
  const waiting = [...files];
  const failed = [];
  const lane = async (first) => {
    for (;;) {
      const at = waiting.findIndex((file) => first || !oneByOne.test(file));
      if (at < 0) return;
      const result = await bunTest(waiting.splice(at, 1), minutes, true);
      if (result.failed === 0) await judge(result, minutes);
      else failed.push(result);
    }
  };
  // The files that must not meet each other first, so that both lanes end at about the same time.
  waiting.sort((a, b) => Number(oneByOne.test(b)) - Number(oneByOne.test(a)));
  await Promise.all(Array.from({ length: lanes }, (_, i) => lane(i === 0)));
  for (const result of failed) await judge(result, minutes);
}

async function judge(first, minutes) {
  total.passed += first.passed;
  total.skipped += first.skipped;
  total.notes.push(...first.skips);
  const broken = [...new Set(first.failures.map((f) => f.file))];
  if (first.failed === 0) return;
  if (
    broken.includes('') ||
    first.late ||
    first.failures.length < first.failed ||
    repeated + broken.length > MOST_REPEATED
  ) {
    total.failed += first.failed;
    total.failures.push(...first.failures.map((f) => ({ ...f, verdict: 'failed' })));
    return;
  }
  for (const file of broken) {
    repeated += 1;
    console.log(`== again: ${file}`);
    const second = await bunTest([file], minutes);
    const before = first.failures.filter((f) => f.file === file);
    total.failed += second.failed;
    total.passed += Math.max(0, before.length - second.failed);
    total.failures.push(
      ...second.failures.map((f) => ({ ...f, verdict: 'failed' })),
      ...before
        .filter((f) => !second.failures.some((g) => g.name === f.name))
        .map((f) => ({ ...f, verdict: 'passed only when it was run again' })),
    );
  }
}

setUp();
fetchClients();
console.log(spawnSync('docker', ['--version']).stdout?.toString().trim());
for (const name of chosen) {
  const suite = suites[name];
  const files = filesOf(suite);
  if (files.length === 0) continue;
  console.log(`== ${name}: ${files.length} files`);
  const started = Date.now();
  if (suite.lanes > 1) await runLanes(files, suite);
  else if (suite.perFile) for (const file of files) await runFiles([file], suite.minutes);
  else await runFiles(files, suite.minutes);
  console.log(`== ${name} took ${Math.round((Date.now() - started) / 1000)} s`);
}

/** Every skip must be listed with its reason: a prefix of the test's name, then a tab, then the reason. */
const listed = fs.existsSync('test/skips.txt')
  ? fs
      .readFileSync('test/skips.txt', 'utf8')
      .split('\n')
      .filter((l) => l !== '' && !l.startsWith('#'))
      .map((l) => l.split('\t'))
  : [];
for (const note of total.notes) {
  const skip = /^skipped: (.*)$/.exec(note)?.[1];
  const reason = skip === undefined ? undefined : listed.find(([prefix]) => skip.includes(prefix));
  if (skip !== undefined && reason === undefined) {
    total.failed += 1;
    console.log(`${note} (not listed in test/skips.txt)`);
  } else console.log(reason === undefined ? note : `${note}: ${reason[1]}`);
}
const report = total.failures
  .map(
    ({ file, name, lines, verdict }) => `\n-- ${verdict}: ${file} > ${name}\n${lines.map((l) => `   ${l}\n`).join('')}`,
  )
  .join('');
console.log(report);
const counts = process.env.BERTH_TEST_COUNTS; // .ci/run adds up several calls, and repeats what failed at its end
if (counts !== undefined) {
  fs.appendFileSync(counts, `${total.passed} ${total.failed} ${total.skipped}\n`);
  fs.appendFileSync(`${counts}.failures`, report);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed === 0 ? 0 : 1);
