/** Dockerfiles of many kinds, built by the real buildx at once with `bake`: each says by its own files whether it is right. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';
import { eventually, must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { withPlugins } from '../../support/next-debian.ts';

const IMG = 'berth.test/busybox:1';
const LIMIT = 120_000;
const SECRET = 'only-for-this-step-5521';
let d: TestDaemon;
let env: Readonly<Record<string, string>>;

beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  const config = await withPlugins(path.join(d.directory, 'plugins'), ['docker-buildx']);
  env = { DOCKER_CONFIG: config, DOCKER_CLI_HINTS: 'false' };
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const docker = (args: readonly string[], options: { cwd?: string; input?: string | Uint8Array } = {}) =>
  run('docker', ['-H', `unix://${d.socket}`, ...args], { env, limitMs: 100_000, ...options });

function write(directory: string, files: Readonly<Record<string, string>>): string {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
  }
  return directory;
}

/** The last line of each fails the build when it is not right. */
const corpus: Readonly<Record<string, string>> = {
  heredoc: `RUN <<EOF\nset -e\necho one > /a\necho two >> /a\nEOF\nCOPY <<"END" /b\n$HOME\nEND\nRUN test "$(wc -l < /a) $(cat /b)" = '2 $HOME'`,
  shell: `SHELL ["/bin/sh", "-ec"]\nRUN false || true; echo x > /x\nRUN ["test", "-s", "/x"]`,
  variables: `ARG A=1\nARG B=\${A:-2}\nENV C=\${B:+set} D=$A\nRUN test "$A $B $C $D" = '1 1 set 1'`,
  predefined: `ARG TARGETARCH\nARG BUILDPLATFORM\nRUN test "$TARGETARCH $BUILDPLATFORM" = 'amd64 linux/amd64'`,
  workdir: `WORKDIR /a\nWORKDIR b\nRUN test "$PWD" = /a/b`,
  user: `RUN echo 'u:x:77:78::/:' >> /etc/passwd; echo 'g:x:78:' >> /etc/group\nUSER u:g\nRUN test "$(id -u):$(id -g)" = 77:78`,
  chown: `COPY --chown=7:8 --chmod=640 a /a\nRUN test "$(stat -c %u:%g:%a /a)" = 7:8:640`,
  parents: `COPY --parents sub/deep/f /p/\nRUN test -f /p/sub/deep/f`,
  exclude: `COPY --exclude=*.log sub /s\nRUN test -f /s/deep/f && test ! -e /s/x.log`,
  ignored: `COPY . /all\nRUN test -f /all/a && test ! -e /all/ignored && test -f /all/kept/ignored`,
  links: `COPY link /l\nCOPY sub/ /s/\nRUN test "$(cat /l)" = content`,
  archive: `ADD box.tar /t/\nRUN test "$(cat /t/a)" = content`,
  stages: `FROM ${IMG} AS one\nRUN echo 1 > /1\nFROM one AS two\nRUN echo 2 > /2\nFROM ${IMG}\nCOPY --from=two /1 /2 /\nRUN test "$(cat /1 /2 | tr -d '\\n')" = 12`,
  onbuild: `FROM ${IMG} AS base\nONBUILD RUN echo built > /on\nFROM base\nRUN test -s /on`,
  cache: `RUN --mount=type=cache,target=/c,id=corpus,mode=0750,uid=5 echo x > /c/f; test "$(stat -c %a:%u /c)" = 750:5`,
  tmpfs: `RUN --mount=type=tmpfs,target=/t,size=1m df /t | grep -q 1024`,
  bind: `RUN --mount=target=/ctx,source=sub test -f /ctx/deep/f\nRUN --mount=from=${IMG},target=/o,source=/bin test -e /o/busybox`,
  secret: `RUN --mount=type=secret,id=s test "$(wc -c < /run/secrets/s)" = ${SECRET.length}\nRUN --mount=type=secret,id=s,env=V test "\${#V}" = ${SECRET.length}`,
  network: `RUN --network=none test "$(ls /sys/class/net)" = lo`,
  limits: `RUN test "$(ulimit -n)" = 300 && df /dev/shm | grep -q 32768 && grep -q '1.2.3.4.*extra' /etc/hosts`,
  metadata: `EXPOSE 80/tcp\nVOLUME /v\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\nLABEL a="b c"\nENTRYPOINT ["/bin/echo"]\nCMD ["hi"]`,
};

test(
  'all of the corpus, side by side',
  async () => {
    const directory = write(path.join(d.directory, 'corpus'), {
      a: 'content',
      'sub/deep/f': 'f',
      'sub/x.log': 'x',
      ignored: 'no',
      'kept/ignored': 'yes',
      '.dockerignore': 'ignored\n*.hcl\n',
    });
    fs.symlinkSync('a', path.join(directory, 'link'));
    await must('tar', ['cf', path.join(directory, 'box.tar'), '-C', directory, 'a']);
    const secret = path.join(d.directory, 'secret');
    fs.writeFileSync(secret, SECRET);
    const targets = Object.entries(corpus).map(([name, lines]) => {
      const whole = lines.startsWith('FROM') ? lines : `FROM ${IMG}\n${lines}`;
      // Bake has variables of its own.
      const text = whole.replaceAll('${', () => '$${');
      return [
        name,
        {
          ...{
            context: '.',
            'dockerfile-inline': `# syntax=docker/dockerfile:1\n${text}\n`,
            tags: [`corpus/${name}:1`],
          },
          ...{ secret: [`id=s,src=${secret}`], ulimits: ['nofile=300'], 'shm-size': '32m' },
          'extra-hosts': { extra: '1.2.3.4' },
        },
      ] as const;
    });
    // What this buildx has no key for goes by flags of `build`.
    const { limits, ...baked } = Object.fromEntries(targets);
    const file = { group: { default: { targets: Object.keys(baked) } }, target: baked };
    write(directory, { 'bake.json': JSON.stringify(file) });
    const built = await docker(['buildx', 'bake', '-f', 'bake.json', '--progress=plain'], { cwd: directory });
    expect(built.stderr.match(/\n(?:ERROR|.*did not complete).*/g)).toBeNull();
    expect(built.code).toBe(0);
    const flags = ['--ulimit', 'nofile=300', '--shm-size', '32m', '--add-host', 'extra:1.2.3.4'];
    const text = limits?.['dockerfile-inline'] ?? '';
    const limited = await docker(['buildx', 'build', ...flags, '-f', '-', '.'], { cwd: directory, input: text });
    expect(limited.stderr).not.toContain('ERROR');
    const format =
      '{{json .Config.ExposedPorts}} {{json .Config.Volumes}} {{.Config.StopSignal}} {{json .Config.Labels}}';
    expect(await d.must(['image', 'inspect', '-f', format, 'corpus/metadata:1'])).toBe(
      '{"80/tcp":{}} {"/v":{}} SIGINT {"a":"b c"}',
    );
    expect((await run('grep', ['-r', '-l', SECRET, d.dataRoot])).stdout).toBe('');
  },
  LIMIT,
);

test(
  'contexts: a Dockerfile or a tar by the standard input, a git repository, named ones; the ssh agent',
  async () => {
    const directory = write(path.join(d.directory, 'contexts'), {
      Dockerfile: `FROM ${IMG}\nCOPY a /a\n`,
      a: 'content',
    });
    const quiet = ['buildx', 'build', '-q'];
    const dockerfile = `FROM ${IMG}\nRUN echo x > /x\n`;
    expect(await docker([...quiet, '-'], { input: dockerfile })).toMatchObject({ code: 0 });
    await must('tar', ['cf', path.join(d.directory, 'c.tar'), '-C', directory, '.']);
    const tar = fs.readFileSync(path.join(d.directory, 'c.tar'));
    expect(await docker([...quiet, '-'], { input: tar })).toMatchObject({ code: 0, stderr: '' });
    const git = (args: readonly string[]) => must('git', ['-C', directory, ...args]);
    await git(['init', '-q', '-b', 'main']);
    await git(['add', '.']);
    await git(['-c', 'user.name=x', '-c', 'user.email=x@x', 'commit', '-q', '-m', 'x']);
    const local = await docker([...quiet, '.'], { cwd: directory });
    expect(local).toMatchObject({ code: 0 });
    const agent = path.join(d.directory, 'agent');
    const server = net.createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(agent, resolve));
    const named = `FROM base\nCOPY --from=files a /named\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n`;
    const flags = [
      ...['--build-context', `files=${directory}`, '--build-context', `base=docker-image://${IMG}`],
      ...['--ssh', `default=${agent}`, '-f', '-', '-t', 'named:1'],
    ];
    const built = await docker([...quiet, ...flags, directory], { input: named });
    server.close();
    expect(built).toMatchObject({ code: 0, stderr: '' });
    expect(await d.must(['run', '--rm', '--network', 'none', 'named:1', 'cat', '/named'])).toBe('content');
  },
  LIMIT,
);

test(
  'Ctrl-C ends the build and its processes; what it used of the cache is listed and pruned',
  async () => {
    const directory = write(path.join(d.directory, 'long'), {
      Dockerfile: `FROM ${IMG}\nRUN echo kept > /kept\nRUN echo began; sleep 7654329\n`,
    });
    const args = ['-H', `unix://${d.socket}`, 'buildx', 'build', '--progress=plain', directory];
    const building = spawn('docker', args, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
    let told = '';
    building.stderr.on('data', (bytes: Buffer) => (told += bytes.toString()));
    const ended = new Promise((resolve) => building.once('exit', resolve));
    await eventually('the step runs', async () => (await processes('sleep 7654329')) > 0, 60_000);
    building.kill('SIGINT');
    await ended;
    await eventually('the step is gone', async () => (await processes('sleep 7654329')) === 0, 60_000);
    expect(told).toContain('context canceled');
    const listed = await docker(['buildx', 'du', '--verbose']);
    expect(listed.stdout).toContain('RUN /bin/sh -c echo kept > /kept');
    // The daemon lets go of what the build stood on a moment after the client has gone.
    await eventually(
      'the step is pruned',
      async () => {
        const pruned = await docker(['buildx', 'prune', '-f', '--filter', 'type=regular']);
        expect(pruned.code).toBe(0);
        return !(await docker(['buildx', 'du', '--verbose'])).stdout.includes('echo kept > /kept');
      },
      30_000,
    );
    expect((await docker(['buildx', 'inspect'])).stdout).toContain('Status:           running');
  },
  LIMIT,
);

async function processes(words: string): Promise<number> {
  const { stdout } = await run('ps', ['-eo', 'args']);
  return stdout.split('\n').filter((line) => line === words).length;
}
