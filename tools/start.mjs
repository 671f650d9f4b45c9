// npm start [-- DAEMON FLAGS]: from a fresh clone to a running container. Installs what is missing, builds, starts the
// daemon if none answers, makes an image of this machine's own programs, runs it, and says what to type next.
// Every step looks first whether it is needed, so that it can be repeated.
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { answers, hostOf, logFile, program, recordDaemon, root, sleep, startTicks } from './start-daemon.mjs';

const IMAGE = 'berth/hello';
const READY_MS = 20_000;
/** Debian package → a file name pattern of the library in it. */
const LIBRARIES = { libseccomp2: /^libseccomp\.so\.2/, libnftables1: /^libnftables\.so\.1/ };
/** Without busybox: the programs of the host that a first look around needs. */
const PROGRAMS = 'sh bash ls cat echo id hostname ps grep env head wc sleep mount df date uname'.split(' ');

const flags = process.argv.slice(2);
const host = hostOf(flags);
process.chdir(root);

const terminal = process.stdout.isTTY === true && process.env.NO_COLOR === undefined;
const strong = (text) => (terminal ? `\u001b[1m${text}\u001b[0m` : text);
const step = (text) => console.log(`${terminal ? '\u001b[36m→\u001b[0m' : '->'} ${text}`);

class Failure extends Error {}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { stdio: 'inherit', ...options });
  if (result.error !== undefined) throw new Failure(`Cannot run ${command}: ${result.error.message}`);
  if (result.status !== 0) {
    if (result.stderr) process.stderr.write(result.stderr);
    throw new Failure(`${path.basename(command)} ${args.join(' ')} ended with ${result.status ?? result.signal}`);
  }
  return result;
}

function checkMachine() {
  if (process.platform !== 'linux') throw new Failure('Berth runs on Linux.');
  if (process.getuid?.() !== 0) throw new Failure('Containers need root: run it as root (sudo npm start).');
  if (Number(process.versions.node.split('.')[0]) < 20) throw new Failure('Node 20 or newer is needed.');
}

function installLibraries() {
  const folders = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/usr/local/lib'];
  const nested = folders.flatMap((folder) =>
    listOf(folder)
      .filter((name) => name.includes('-linux-gnu'))
      .map((name) => path.join(folder, name)),
  );
  const there = new Set([...folders, ...nested].flatMap((folder) => listOf(folder)));
  const missing = Object.entries(LIBRARIES).filter(([, pattern]) => ![...there].some((name) => pattern.test(name)));
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name);
  step(`installing ${names.join(' and ')}`);
  if (!fs.existsSync('/usr/bin/apt-get')) throw new Failure(`Please install the libraries of ${names.join(' and ')}.`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '-y', '-q', '--no-install-recommends', ...names];
  const first = spawnSync('apt-get', install, { stdio: 'ignore', env });
  if (first.status === 0) return;
  run('apt-get', ['update', '-q'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  run('apt-get', install, { env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function listOf(folder) {
  try {
    return fs.readdirSync(folder);
  } catch {
    return [];
  }
}

function newest(folder) {
  let latest = 0;
  for (const entry of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.test.ts')) continue;
    latest = Math.max(latest, fs.statSync(path.join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return latest;
}

const mtime = (file) => fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

function installPackages() {
  const bun = 'node_modules/bun/bin/bun.exe';
  if (fs.existsSync(bun) && mtime('node_modules/.package-lock.json') >= mtime('package-lock.json')) return;
  step('installing packages (npm ci)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

function build() {
  const sources = Math.max(newest('src'), mtime('package.json'), mtime('package-lock.json'), mtime('tools/build.ts'));
  if (mtime(program) > sources) return;
  step('building dist/berth');
  run('node_modules/bun/bin/bun.exe', ['tools/build.ts'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function startDaemon() {
  if (await answers(host)) {
    step(`a daemon answers at ${host}`);
    return;
  }
  step(`starting the daemon at ${host}`);
  fs.mkdirSync(path.dirname(logFile), { recursive: true });
  const log = fs.openSync(logFile, 'w', 0o600);
  const child = spawn(program, ['daemon', ...flags], { cwd: '/', detached: true, stdio: ['ignore', log, log] });
  fs.closeSync(log);
  let ended = '';
  child.on('error', (error) => (ended = error.message));
  child.on('exit', (code, signal) => (ended = `it ended with ${code ?? signal}`));
  const limit = Date.now() + READY_MS;
  while (!(await answers(host))) {
    if (ended !== '' || Date.now() > limit) {
      if (ended === '') process.kill(child.pid, 'SIGTERM');
      const last = fs.readFileSync(logFile, 'utf8').trim().split('\n').slice(-5).join('\n');
      throw new Failure(`The daemon did not start: ${ended || 'no answer'}\n${last}`);
    }
    await sleep(25);
  }
  recordDaemon({ pid: child.pid, ticks: startTicks(child.pid), host });
  child.unref();
}

const onPath = (name) =>
  (process.env.PATH ?? '').split(':').some((folder) => folder !== '' && fs.existsSync(path.join(folder, name)));

function berth(args, options) {
  return run(program, ['-H', host, ...args], options);
}

function makeImage() {
  const programs = onPath('busybox') ? ['busybox'] : PROGRAMS.filter((name) => onPath(name));
  step(
    `making the image ${IMAGE} of this machine's own ${programs.length === 1 ? programs[0] : 'shell and coreutils'}`,
  );
  berth(['image', 'from-host', '-q', IMAGE, ...programs], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Only what a shell has built in, and cat: it runs with busybox and with the host's own programs. */
const GREETING = String.raw`
field() { while read -r key value rest; do [ "$key" = "$1:" ] && echo "$value"; done < /proc/self/status; }
mounts=0; while read -r line; do mounts=$((mounts+1)); done < /proc/self/mountinfo
processes=0; for d in /proc/[0-9]*; do processes=$((processes+1)); done
links=; while read -r name rest; do case $name in *:) links="$links ${'$'}{name%:}";; esac; done < /proc/net/dev
read -r root < /proc/self/mountinfo
case $root in *" overlay "*) kind="its own (an overlay)";; *) kind="its own";; esac
case $(field Seccomp) in 2) seccomp="on";; *) seccomp="OFF";; esac
read -r host < /proc/sys/kernel/hostname
echo
echo "   Ahoy from inside a container."
echo
echo "   hostname        $host"
echo "   process id      $$, one of $processes that it can see"
echo "   root files      $kind, $mounts mounts"
echo "   network links  $links"
echo "   capabilities    $(field CapEff)"
echo "   seccomp filter  $seccomp"
echo "   memory limit    64 MiB"
echo
`;

function greet() {
  step('running a container');
  berth(['run', '--rm', '--memory', '64m', IMAGE, 'sh', '-c', GREETING], { stdio: ['ignore', 'inherit', 'inherit'] });
}

function sayNext() {
  const at = host === hostOf([]) ? '' : ` -H ${host}`;
  const lines = [
    ['./berth run --rm -it ' + IMAGE + ' sh', 'a shell in a container'],
    ['./berth run -d --name ticker ' + IMAGE + " sh -c 'while sleep 1; do echo tick; done'", ''],
    ['./berth logs -f ticker', ''],
    ['./berth ps', 'what runs'],
    ['./berth jobs', 'what the daemon did'],
    ['npm stop', 'ends the daemon and its containers'],
  ];
  const shown = lines.map(([command, what]) => [command.replace('./berth', `./berth${at}`), what]);
  const width = Math.max(...shown.map(([command, what]) => (what === '' ? 0 : command.length)));
  console.log(strong('Type next:'));
  for (const [command, what] of shown)
    console.log(what === '' ? `  ${command}` : `  ${command.padEnd(width)}  # ${what}`);
  if (host.startsWith('unix://')) console.log(`\nThe docker CLI works too: DOCKER_HOST=${host} docker ps`);
}

try {
  checkMachine();
  installLibraries();
  installPackages();
  build();
  await startDaemon();
  makeImage();
  greet();
  sayNext();
  process.exit(0);
} catch (error) {
  if (!(error instanceof Failure)) throw error;
  console.error(error.message);
  process.exit(1);
}
