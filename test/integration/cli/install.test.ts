/** Completion in real shells, manual pages, and an installation below a directory of its own. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { GENERATOR } from '#client/install/files.ts';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const root = path.resolve(import.meta.dirname, '../../..');
let d: TestDaemon;
let bin: string;

beforeAll(async () => {
  d = await TestDaemon.start();
  bin = path.join(d.directory, 'bin');
  fs.mkdirSync(bin);
  fs.symlinkSync(path.join(root, 'berth'), path.join(bin, 'berth'));
  for (const name of ['alpha', 'alps', 'beta']) {
    expect((await d.docker(['create', '--name', name, 'berth.test/busybox:1', 'true'])).code).toBe(0);
  }
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});

const shell = (program: string, script: string) =>
  run(program, ['-c', script], {
    env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, DOCKER_HOST: `unix://${d.socket}`, HOME: d.directory },
  });

test('bash completes commands, flags and live names', async () => {
  const complete = async (...words: string[]) => {
    const line = words.map((word) => `'${word}'`).join(' ');
    const script = `source <(berth completion bash); COMP_WORDS=(berth ${line}); COMP_CWORD=${words.length}; __berth_complete; echo "\${COMPREPLY[@]}"`;
    return (await shell('bash', script)).stdout.trim();
  };
  expect(await complete('container', 'st')).toBe('start stats stop');
  expect(await complete('rm', '-f', 'al')).toBe('alpha alps');
  expect(await complete('start', '')).toBe('alpha alps beta');
  expect(await complete('stop', '')).toBe('');
  expect(await complete('run', '--net')).toBe('--network --network-alias');
  expect(await complete('run', 'berth')).toBe('berth.test/busybox:1');
});

test.skipIf(Bun.which('fish') === null)('fish completes live names with what they are', async () => {
  const said = await shell('fish', 'berth completion fish | source; complete -C "berth rm al"');
  expect(said.stdout).toBe('alpha\tberth.test/busybox:1, Created\nalps\tberth.test/busybox:1, Created\n');
});

test.skipIf(Bun.which('zsh') === null)('zsh knows the function', async () => {
  const said = await shell(
    'zsh',
    'autoload -U compinit; compinit -D -u; source <(berth completion zsh); print $_comps[berth]',
  );
  expect(said.stdout.trim()).toBe('_berth');
});

test('a shell that is not known is refused', async () => {
  const said = await run(path.join(root, 'berth'), ['completion', 'tcsh']);
  expect(said.code).toBe(1);
  expect(said.stderr).toContain('there is bash, zsh and fish');
});

test('install below a root, again, and uninstall: what was there before stays', async () => {
  const target = path.join(d.directory, 'target');
  const build = await run(process.execPath, ['tools/build.ts'], { cwd: root });
  expect(build.code).toBe(0);
  const built = path.join(root, 'dist/berth');
  fs.mkdirSync(path.join(target, 'usr/local/bin'), { recursive: true });
  fs.writeFileSync(path.join(target, 'usr/local/bin/docker'), 'theirs');
  const refused = await run(built, ['install', '--docker', '--root', target]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('/usr/local/bin/docker is there already');
  expect(fs.existsSync(path.join(target, 'usr/local/bin/berth'))).toBe(false);
  expect((await run(built, ['install', '--root', target])).code).toBe(0);
  expect((await run(built, ['install', '--root', target])).code).toBe(0);
  const at = (name: string) => fs.readFileSync(path.join(target, name), 'utf8');
  for (const unit of ['berth.service', 'berth.socket', 'berth-shutdown.service']) {
    expect(at(`etc/systemd/system/${unit}`)).toBe(fs.readFileSync(path.join(root, 'contrib', unit), 'utf8'));
  }
  expect(at('etc/systemd/system-generators/berth-generator')).toBe(GENERATOR);
  expect(GENERATOR).toBe(fs.readFileSync(path.join(root, 'contrib/berth-generator'), 'utf8'));
  expect(at('usr/local/share/man/man1/berth-container-run.1')).toContain('\\fB\\-\\-network\\fP');
  expect(at('usr/local/share/man/man1/berth-run.1')).toBe('.so man1/berth-container-run.1\n');
  const version = await run(path.join(target, 'usr/local/bin/berth'), ['--version']);
  expect(version.stdout).toStartWith('Berth version ');
  expect((await run(built, ['uninstall', '-f', '--root', target])).code).toBe(0);
  const left = fs
    .readdirSync(target, { recursive: true, encoding: 'utf8' })
    .filter((name) => !fs.statSync(path.join(target, name)).isDirectory());
  expect(left).toEqual(['usr/local/bin/docker']);
  const none = await run(built, ['uninstall', '-f', '--root', target]);
  expect(none.stderr).toContain('Nothing to uninstall');
});

test('from its sources nothing is installed', async () => {
  const said = await run(path.join(root, 'berth'), ['install', '--root', path.join(d.directory, 'other')]);
  expect(said.code).toBe(1);
  expect(said.stderr).toContain('npm run build');
  const shown = await run(path.join(root, 'berth'), ['install', '--docker', '--dry-run']);
  expect(shown.stdout).toContain('/run/docker.sock\n');
});
