/** Contexts, configuration file, plugins and ssh hosts of the client; one store for `docker` and `berth`. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

let d: TestDaemon;
let config: string;
const root = path.resolve(import.meta.dirname, '../../..');
const berthProgram = path.join(root, 'berth');

beforeAll(async () => {
  d = await TestDaemon.start();
});
afterAll(async () => {
  await d[Symbol.asyncDispose]();
});

const environment = () => ({ DOCKER_CONFIG: config, DOCKER_HOST: '', BERTH_HOST: '', DOCKER_CONTEXT: '' });
const both = (...args: string[]) =>
  Promise.all([run(berthProgram, args, { env: environment() }), run('docker', args, { env: environment() })]);
const berth = (args: string[], env: Record<string, string> = {}) =>
  run(berthProgram, args, { env: { ...environment(), ...env } });

function freshConfig(json: unknown = {}): void {
  config = fs.mkdtempSync(path.join(d.directory, 'config-'));
  fs.writeFileSync(path.join(config, 'config.json'), JSON.stringify(json));
}

test('what one client makes, the other sees: create, update, inspect, use, rm', async () => {
  freshConfig({ auths: { 'r.example': { auth: 'eDp5' } }, unknownKey: [1] });
  fs.writeFileSync(path.join(config, 'my-ca.pem'), 'CA\n');
  const made = await berth([
    'context',
    'create',
    'one',
    '--description',
    'first',
    '--docker',
    `host=tcp://192.0.2.1:2376,ca=${config}/my-ca.pem,skip-tls-verify=false`,
  ]);
  expect(made).toEqual({ code: 0, stdout: 'one\n', stderr: 'Successfully created context "one"\n' });
  expect(
    (await run('docker', ['context', 'create', 'two', '--docker', 'host=unix:///nowhere'], { env: environment() }))
      .code,
  ).toBe(0);
  for (const args of [
    ['context', 'inspect', 'one', 'two'],
    ['context', 'ls', '-q'],
    ['context', 'inspect', '--format', '{{.Name}} {{.Endpoints.docker.Host}}', 'one'],
    ['context', 'inspect', 'three'],
    ['context', 'create', 'one'],
    ['context', 'create', 'b@d'],
    ['context', 'create', 'x1', '--docker', 'hosta=1'],
    ['context', 'rm', 'default'],
    ['context', 'rm', 'three'],
    ['context', 'use', 'three'],
    ['context', 'show'],
    ['-c', 'three', 'ps'],
    ['-c', 'one', '-H', 'unix:///x', 'ps'],
  ]) {
    const [ours, theirs] = await both(...args);
    const plain = (text: string) => text.replaceAll('berth', 'docker').replace('Failed to initialize: ', '');
    expect({ args, code: ours.code, out: ours.stdout, err: plain(ours.stderr) }).toEqual({
      args,
      code: theirs.code,
      out: theirs.stdout,
      err: plain(theirs.stderr),
    });
  }
  expect((await berth(['context', 'use', 'two'])).stderr).toBe('Current context is now "two"\n');
  expect((await run('docker', ['context', 'show'], { env: environment() })).stdout).toBe('two\n');
  expect((await berth(['ps'])).stderr).toContain('unix:///nowhere');
  expect((await berth(['context', 'rm', 'two'])).stderr).toContain(
    'context "two" is in use, set -f flag to force remove',
  );
  expect((await berth(['context', 'rm', '-f', 'two'])).code).toBe(0);
  expect((await berth(['context', 'update', 'one', '--description', 'changed'])).code).toBe(0);
  expect(
    (await run('docker', ['context', 'ls', '--format', '{{.Name}}:{{.Description}}'], { env: environment() })).stdout,
  ).toContain('one:changed');
  const kept: unknown = JSON.parse(fs.readFileSync(path.join(config, 'config.json'), 'utf8'));
  expect(kept).toEqual({ auths: { 'r.example': { auth: 'eDp5' } }, unknownKey: [1] });
});

test('export and import, from one client to the other', async () => {
  freshConfig();
  fs.writeFileSync(path.join(config, 'key'), 'KEY');
  const docker = `host=tcp://192.0.2.1:2376,ca=${config}/key,cert=${config}/key,key=${config}/key`;
  expect((await berth(['context', 'create', 'src', '--docker', docker])).code).toBe(0);
  for (const [writer, reader] of [
    [berthProgram, 'docker'],
    ['docker', berthProgram],
  ] as const) {
    const file = path.join(config, `${path.basename(writer)}.tar`);
    expect((await run(writer, ['context', 'export', 'src', file], { env: environment() })).code).toBe(0);
    const name = `from-${path.basename(writer)}`;
    const imported = await run(reader, ['context', 'import', name, file], { env: environment() });
    expect(imported).toEqual({ code: 0, stdout: `${name}\n`, stderr: `Successfully imported context "${name}"\n` });
    const [ours] = await both('context', 'inspect', name, '--format', '{{json .TLSMaterial}}');
    expect(ours.stdout).toBe('{"docker":["ca.pem","cert.pem","key.pem"]}\n');
  }
  fs.writeFileSync(path.join(config, 'bad.tar'), 'x'.repeat(2000));
  expect((await berth(['context', 'import', 'bad', path.join(config, 'bad.tar')])).code).toBe(1);
});

test('a context reaches the daemon; variables and flags win over the one in use', async () => {
  freshConfig();
  expect((await berth(['context', 'create', 'here', '--docker', `host=unix://${d.socket}`])).code).toBe(0);
  expect((await berth(['-c', 'here', 'images', '-q'])).stdout).not.toBe('');
  expect((await berth(['images', '-q'], { DOCKER_CONTEXT: 'here' })).stdout).not.toBe('');
  expect((await berth(['context', 'use', 'here'])).code).toBe(0);
  expect((await berth(['images', '-q'])).stdout).not.toBe('');
  expect((await berth(['images'], { DOCKER_HOST: 'unix:///nowhere' })).stderr).toContain('unix:///nowhere');
  expect((await berth(['-H', 'unix:///none', 'images'])).stderr).toContain('unix:///none');
});

test('an ssh:// host: every command goes through system dial-stdio there', async () => {
  freshConfig();
  // An ssh that runs the command on this machine, and notes how it was called.
  const bin = path.join(config, 'bin');
  fs.mkdirSync(bin);
  const log = path.join(config, 'calls');
  fs.writeFileSync(
    path.join(bin, 'ssh'),
    `#!/bin/sh\necho "$*" >>'${log}'\nfor last; do :; done\nexec /bin/sh -c "$last"\n`,
    { mode: 0o755 },
  );
  fs.symlinkSync(berthProgram, path.join(bin, 'berth'));
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` };
  const host = `ssh://me@far:2222${d.socket}`;
  expect((await berth(['-H', host, 'images', '-q'], env)).stdout).not.toBe('');
  const ran = await berth(['-H', host, 'run', '--rm', '-i', 'berth.test/busybox:1', 'cat'], env);
  expect(ran.code).toBe(0);
  expect(fs.readFileSync(log, 'utf8')).toContain('-l me -p 2222 -o ConnectTimeout=30 -T -- far exec');
  expect((await berth(['-H', 'ssh://-oProxyCommand=x', 'ps'], env)).stderr).toContain('unable to parse docker host');
});

test('plugins of docker’s client run as commands, with the whole command line', async () => {
  freshConfig({ aliases: {} });
  fs.mkdirSync(path.join(config, 'cli-plugins'));
  fs.writeFileSync(path.join(config, 'cli-plugins', 'docker-hello'), '#!/bin/sh\necho "$@" / $DOCKER_HOST\nexit 7\n', {
    mode: 0o755,
  });
  const ran = await berth(['hello', 'a', '--flag'], { DOCKER_HOST: 'unix:///some' });
  expect(ran).toEqual({ code: 7, stdout: 'hello a --flag / unix:///some\n', stderr: '' });
  expect((await berth(['hello'])).stdout).toBe('hello / unix:///run/berth.sock\n');
});

test('a broken configuration file is told, and does not stop what does not need it', async () => {
  freshConfig();
  fs.writeFileSync(path.join(config, 'config.json'), '{ nonsense');
  const listed = await berth(['images', '-q'], { DOCKER_HOST: `unix://${d.socket}` });
  expect(listed.code).toBe(0);
  expect(listed.stderr).toContain('WARNING: Error loading config file');
  const used = await berth(['context', 'use', 'default']);
  expect(used.code).toBe(1);
  expect(fs.readFileSync(path.join(config, 'config.json'), 'utf8')).toBe('{ nonsense');
});

test('formats, detach keys and headers of the configuration file', async () => {
  freshConfig({
    imagesFormat: 'IMG {{.Repository}}',
    psFormat: 'PS {{.Names}}',
    statsFormat: 'STATS {{',
    detachKeys: 'ctrl-x',
  });
  const env = { DOCKER_HOST: `unix://${d.socket}` };
  expect((await berth(['images'], env)).stdout).toContain('IMG berth.test/busybox\n');
  expect((await berth(['images', '--format', '{{.Tag}}'], env)).stdout).toBe('1\n');
  expect((await berth(['images', '-q'], env)).stdout).not.toContain('IMG');
  // No container runs here: that it is looked at shows in the complaint.
  expect((await berth(['stats', '--no-stream'], env)).code).toBe(1);
  expect((await berth(['stats', '--no-stream', '--format', '{{.Name}}'], env)).code).toBe(0);
});

test('commands of Swarm say what to use instead; a misspelt one what was meant', async () => {
  freshConfig();
  const service = await berth(['service', 'ls']);
  expect(service.code).toBe(1);
  expect(service.stderr).toContain('berth compose up');
  expect((await berth(['imgaes'])).stderr).toContain('Did you mean "berth images"?');
  expect((await berth(['container', 'strat'])).stderr).toContain('Did you mean "berth container start"?');
});
