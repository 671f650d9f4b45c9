/** `docker compose watch` (files that are synchronised, services that are built again) and `docker compose attach`. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { withPlugins } from '../../support/next-debian.ts';

const IMAGE = 'berth.test/busybox:1';
const LIMIT_MS = 180_000;
let d: TestDaemon;
let folder = '';
let env: Record<string, string> = {};

const files: Readonly<Record<string, string>> = {
  'compose.yaml': `
services:
  web:
    build: {context: ., network: none}
    network_mode: none
    init: true
    command: sh -c "while :; do read line && echo got $$line; done"
    stdin_open: true
    develop:
      watch:
        - {path: ./src, target: /src, action: sync}
        - {path: ./version, action: rebuild}
`,
  Dockerfile: `FROM ${IMAGE}\nCOPY version /version\nCOPY src /src\n`,
  version: 'first',
  'src/page': 'old page',
};

beforeAll(async () => {
  d = await TestDaemon.start();
  env = {
    DOCKER_CONFIG: await withPlugins(d.directory, ['docker-compose', 'docker-buildx']),
    DOCKER_CLI_HINTS: 'false',
    COMPOSE_PROGRESS: 'plain',
  };
  folder = path.join(d.directory, 'watched');
  for (const [name, text] of Object.entries(files)) write(name, text);
}, 600_000);
afterAll(() => d[Symbol.asyncDispose](), 120_000);

function write(name: string, text: string): void {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

const command = (words: readonly string[]): string[] => [
  '-H',
  `unix://${d.socket}`,
  'compose',
  '--ansi',
  'never',
  ...words,
];

const compose = (...words: readonly string[]) => run('docker', command(words), { cwd: folder, env, limitMs: LIMIT_MS });

/** Goes on beside the test; what it said so far, and its input. */
function beside(...words: readonly string[]): AsyncDisposable & { said(): string; child: ChildProcess } {
  const child = spawn('docker', command(words), { cwd: folder, env: { ...process.env, ...env } });
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return {
    child,
    said: () => said,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
      await ended;
      clearTimeout(timer);
    },
  };
}

const idOfWeb = async (): Promise<string> => (await compose('ps', '-q', 'web')).stdout.trim();

async function reads(file: string, text: string): Promise<boolean> {
  return (await d.docker(['exec', 'watched-web-1', 'cat', file])).stdout === text;
}

test(
  'what changes is copied into the container, or has it built and made again',
  async () => {
    await using watch = beside('watch');
    const begins = () => watch.child.exitCode !== null || watch.said().includes('atch enabled');
    await eventually('it watches', begins, 120_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${watch.said()}`);
    });
    const first = await idOfWeb();
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await reads('/version', 'first')).toBe(true);

    write('src/page', 'new page');
    write('src/new', 'not there before');
    await eventually('the page is there', () => reads('/src/page', 'new page'), 60_000);
    await eventually('so is what is new', () => reads('/src/new', 'not there before'), 60_000);
    fs.rmSync(path.join(folder, 'src/new'));
    const gone = async () => (await d.docker(['exec', 'watched-web-1', 'test', '-e', '/src/new'])).code === 1;
    await eventually('what is deleted goes', gone, 60_000).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${watch.said()}`);
    });
    expect(await idOfWeb()).toBe(first);

    write('version', 'second');
    await eventually('another one is built', () => reads('/version', 'second'), 120_000);
    expect(await idOfWeb()).not.toBe(first);
    expect(await reads('/src/page', 'new page')).toBe(true);
  },
  LIMIT_MS,
);

test(
  'attach: input goes in, output comes out, and it ends with the service',
  async () => {
    expect((await compose('up', '-d', '--wait')).code).toBe(0);
    await using attached = beside('attach', 'web');
    const hears = async () => {
      // Before it is attached a line is lost to it: another one then.
      attached.child.stdin?.write('hello\n');
      return attached.said().includes('got hello');
    };
    await eventually('it is heard', hears, 60_000);
    const ended = new Promise<number | null>((resolve) => attached.child.once('exit', resolve));
    expect((await compose('kill', 'web')).code).toBe(0);
    expect(await ended).not.toBeNull();
    const { code, stderr } = await compose('down', '-v', '--rmi', 'local');
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  },
  LIMIT_MS,
);
