/**
 * Clients that this Debian does not have, from the release after it: buildx, Compose 2, cosign, oras, a younger dockerd.
 * They are unpacked below build/, never installed: nothing of the host changes. `BERTH_TEST_DEBIAN=sid` takes newer ones.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, must } from './command.ts';

const SUITE = process.env['BERTH_TEST_DEBIAN'] ?? 'trixie';
const ROOT = path.resolve(import.meta.dirname, '../../build/debian', SUITE);
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const LIMIT = { limitMs: 300_000 };

/** The archive that this machine takes its own packages from: the first address of a source that ends in /debian. */
function archive(): string {
  const folder = '/etc/apt/sources.list.d';
  const parts = fs.existsSync(folder) ? fs.readdirSync(folder).map((name) => path.join(folder, name)) : [];
  for (const file of ['/etc/apt/sources.list', ...parts]) {
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    const found = /^(?:URIs:|deb\s).*?(https?:\/\/\S+\/debian)\/?(?:\s|$)/m.exec(text)?.[1];
    if (found !== undefined) return found;
  }
  throw new Error('no source of this machine is a Debian archive');
}

async function aptOptions(): Promise<readonly string[]> {
  const state = path.join(ROOT, '.apt');
  const list = path.join(state, 'sources.list');
  const options = [
    ...['-o', `Dir::Etc::sourcelist=${list}`, '-o', 'Dir::Etc::sourceparts=/dev/null'],
    ...['-o', `Dir::State::lists=${state}/lists`, '-o', `Dir::Cache=${state}/cache`],
    ...['-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Languages=none'],
  ];
  if (!fs.existsSync(list)) {
    fs.mkdirSync(path.join(state, 'lists/partial'), { recursive: true });
    fs.mkdirSync(path.join(state, 'cache/archives/partial'), { recursive: true });
    fs.writeFileSync(`${list}.new`, `deb [signed-by=${KEYRING}] ${archive()} ${SUITE} main\n`);
    await must('apt-get', [...options, '-o', `Dir::Etc::sourcelist=${list}.new`, '-qq', 'update'], LIMIT);
    fs.renameSync(`${list}.new`, list);
  }
  return options;
}

/** One test file at a time asks for packages; a lock that its owner left behind is taken over. */
async function locked<T>(work: () => Promise<T>): Promise<T> {
  fs.mkdirSync(ROOT, { recursive: true });
  const lock = path.join(ROOT, '.lock');
  const taken = (): boolean => {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
      return true;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      const owner = fs.existsSync(lock) ? fs.readFileSync(lock, 'utf8') : '';
      if (owner !== '' && !fs.existsSync(`/proc/${owner}`)) fs.rmSync(lock, { force: true });
      return false;
    }
  };
  await eventually('another test has its packages', () => Promise.resolve(taken()), 300_000);
  try {
    return await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** The directory that holds the files of package `name`, as `usr/bin/…`; what it depends on is not there. */
export async function nextDebian(name: string): Promise<string> {
  const directory = path.join(ROOT, name);
  if (fs.existsSync(directory)) return directory;
  return locked(async () => {
    if (fs.existsSync(directory)) return directory;
    const options = await aptOptions();
    const fresh = fs.mkdtempSync(path.join(ROOT, '.fresh-'));
    try {
      await must('apt-get', [...options, '-qq', 'download', name], { ...LIMIT, cwd: fresh });
      const file = fs.readdirSync(fresh).find((entry) => entry.endsWith('.deb'));
      if (file === undefined) throw new Error(`no package ${name} was downloaded`);
      await must('dpkg', ['-x', path.join(fresh, file), path.join(fresh, 'root')], LIMIT);
      fs.renameSync(path.join(fresh, 'root'), directory);
    } finally {
      fs.rmSync(fresh, { recursive: true, force: true });
    }
    return directory;
  });
}

/** For the set-up of the suites: `bun test/support/next-debian.ts NAME…`. */
if (import.meta.main) for (const name of process.argv.slice(2)) await nextDebian(name);

/** A client's plugin of that release, in a fresh `$DOCKER_CONFIG` below `directory` whose docker then finds it. */
export async function withPlugins(directory: string, packages: readonly string[]): Promise<string> {
  const config = path.join(directory, 'docker-config');
  const plugins = path.join(config, 'cli-plugins');
  fs.mkdirSync(plugins, { recursive: true });
  for (const name of packages) {
    const program = path.join(await nextDebian(name), 'usr/libexec/docker/cli-plugins', name);
    fs.symlinkSync(program, path.join(plugins, name));
  }
  return config;
}
