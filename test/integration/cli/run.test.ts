/** `docker run`, `create`, `start`, `attach`, `wait` of the stock CLI: output, input, exit codes, terminals. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { Terminal } from '../../support/terminal.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const none = ['run', '--rm', '--network', 'none'];

describe('run', () => {
  test('gives output and exit code of the program', async () => {
    const r = await d.docker([...none, IMG, 'sh', '-c', 'echo out; echo err >&2; exit 42']);
    expect(r).toEqual({ code: 42, stdout: 'out\n', stderr: 'err\n' });
  });

  test('a program that a signal ends gives 128 + n', async () => {
    expect((await d.docker([...none, IMG, 'sh', '-c', '(kill -9 $$) ; sleep 1'])).code).toBe(0); // pid 1 is immune inside
    const id = await d.must(['run', '-d', '--network', 'none', IMG, 'sleep', '100']);
    await d.must(['kill', '-s', 'KILL', id]);
    expect(await d.must(['wait', id])).toBe('137');
    await d.must(['rm', id]);
  });

  test('no such command is 127, not executable is 126, and the container stays to be inspected', async () => {
    const missing = await d.docker(['run', '--name', 'missing', '--network', 'none', IMG, 'nosuchcommand']);
    expect(missing.code).toBe(127);
    expect(missing.stderr).toContain('executable file not found in $PATH');
    const denied = await d.docker([...none, IMG, '/etc/passwd']);
    expect(denied.code).toBe(126);
    expect(denied.stderr).toContain('permission denied');
    const state = await d.must([
      'inspect',
      'missing',
      '--format',
      '{{.State.Status}} {{.State.ExitCode}} {{.State.Pid}}',
    ]);
    expect(state).toBe('created 127 0');
    await d.must(['rm', 'missing']);
  });

  test('input goes through stdin, its end ends the program', async () => {
    const text = 'line\n'.repeat(200_000);
    const r = await d.docker([...none, '-i', IMG, 'md5sum'], { input: text });
    const expected = new Bun.CryptoHasher('md5').update(text).digest('hex');
    expect(r.stdout).toBe(`${expected}  -\n`);
  });

  test('piped input may hold the bytes of the detach keys', async () => {
    const r = await d.docker([...none, '-i', IMG, 'od', '-An', '-tx1'], { input: 'a\x10\x11b' });
    expect(r.stdout.trim()).toBe('61 10 11 62');
  });

  test('large output arrives whole and in order', async () => {
    const r = await d.docker([...none, IMG, 'sh', '-c', 'seq 1 300000']);
    const lines = r.stdout.trimEnd().split('\n');
    expect(lines.length).toBe(300_000);
    expect(lines[299_999]).toBe('300000');
    expect(new Bun.CryptoHasher('md5').update(r.stdout).digest('hex')).toBe(
      new Bun.CryptoHasher('md5')
        .update(`${Array.from({ length: 300_000 }, (_, i) => i + 1).join('\n')}\n`)
        .digest('hex'),
    );
  });

  test('-t gives a terminal of the size of ours', async () => {
    const r = await d.docker([...none, '-it', IMG, 'sh', '-c', 'tty; stty size; test -t 0 && test -t 1 && echo both'], {
      terminal: true,
    });
    expect(r.stdout.replaceAll('\r', '')).toContain('/dev/pts/0');
    expect(r.stdout).toContain('24 80');
    expect(r.stdout).toContain('both');
  });

  test('-d prints the id, ps shows it, logs has its output, stop ends it', async () => {
    const id = await d.must([
      'run',
      '-d',
      '--name',
      'background',
      '--network',
      'none',
      IMG,
      'sh',
      '-c',
      'echo started; sleep 100',
    ]);
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(await d.must(['ps', '--format', '{{.ID}} {{.Names}} {{.Status}}'])).toMatch(
      new RegExp(`^${id.slice(0, 12)} background Up `),
    );
    await eventually('the log has the line', async () => (await d.must(['logs', id])) === 'started');
    expect(await d.must(['stop', '-t', '0', id])).toBe(id);
    expect(await d.must(['ps', '-a', '--filter', 'name=background', '--format', '{{.Status}}'])).toMatch(
      /^Exited \(137\)/,
    );
    await d.must(['rm', id]);
  });

  test('--rm leaves no container, no directory and a free name', async () => {
    for (let i = 0; i < 3; i++) await d.must(['run', '--rm', '--name', 'again', '--network', 'none', IMG, 'true']);
    expect(await d.must(['ps', '-aq'])).toBe('');
    await eventually(
      'the directories are gone',
      () => fs.readdirSync(path.join(d.dataRoot, 'containers')).length === 0,
    );
  });

  test('who waits a moment too late for a container that has removed itself is told how it ended', async () => {
    const id = await d.must(['create', '--rm', '--name', 'quick', '--network', 'none', IMG, 'sh', '-c', 'exit 3']);
    await d.must(['start', id]);
    await eventually('it has removed itself', async () => (await d.must(['ps', '-aq'])) === '');
    expect(await d.request('POST', `/v1.51/containers/${id}/wait`)).toEqual({ status: 200, body: { StatusCode: 3 } });
    expect((await d.request('GET', `/v1.51/containers/${id}/json`)).status).toBe(404);
    expect((await d.request('POST', '/v1.51/containers/quick/wait')).status).toBe(404);
    const removed = await d.must(['create', '--name', 'quick', '--network', 'none', IMG, 'true']);
    await d.must(['rm', removed]);
    expect((await d.request('POST', `/v1.51/containers/${removed}/wait`)).status).toBe(404);
  });

  test('create, attach before start, start -a, wait', async () => {
    const id = await d.must(['create', '--name', 'later', '--network', 'none', IMG, 'sh', '-c', 'echo now; exit 7']);
    const waiting = d.docker(['wait', 'later']);
    const r = await d.docker(['start', '-a', 'later']);
    expect(r).toMatchObject({ code: 7, stdout: 'now\n' });
    await waiting;
    expect((await d.docker(['wait', id])).stdout).toBe('7\n');
    await d.must(['rm', 'later']);
  });

  test('detach keys leave the container running and attach gets it back', async () => {
    const cli = (args: string) => `docker -H unix://${d.socket} ${args}`;
    await using first = new Terminal(cli(`run -it --name detached --network none ${IMG} sh`));
    await first.sees('/ # ');
    first.types('echo ty""ped\r');
    await first.sees('\ntyped');
    first.types('\x10');
    first.types('\x11');
    await first.ended;
    expect(await d.must(['inspect', '-f', '{{.State.Running}}', 'detached'])).toBe('true');
    await using second = new Terminal(cli('attach detached'));
    second.types('echo ag""ain; exit 7\r');
    await second.sees('\nagain');
    expect(await second.ended).toBe(7);
    expect(await d.must(['wait', 'detached'])).toBe('7');
    await d.must(['rm', 'detached']);
  });
});

describe('limits and isolation', () => {
  test('memory: the program that takes more is killed and the container says so', async () => {
    const r = await d.docker([
      'run',
      '--name',
      'hog',
      '--network',
      'none',
      '--memory',
      '16m',
      IMG,
      'sh',
      '-c',
      'x=a; while :; do x=$x$x; done',
    ]);
    expect(r.code).toBe(137);
    expect(await d.must(['inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}', 'hog'])).toBe('true 137');
    await d.must(['rm', 'hog']);
  });

  test('pids: fork fails above the limit', async () => {
    const r = await d.docker([
      ...none,
      '--pids-limit',
      '5',
      IMG,
      'sh',
      '-c',
      'for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait',
    ]);
    expect(r.stderr).toContain("can't fork");
  });

  test('the default container has 14 capabilities, a seccomp filter, no way to the host', async () => {
    const r = await d.docker([
      ...none,
      IMG,
      'sh',
      '-c',
      'grep -E "^Cap(Eff|Inh|Bnd|Amb)|^Seccomp:" /proc/self/status; readlink /proc/1/exe; mount -t tmpfs x /tmp; unshare -U true; hostname; ps | wc -l; ls /dev | sort | tr "\\n" " "',
    ]);
    expect(r.stdout).toContain('CapEff:\t00000000a80425fb');
    expect(r.stdout).toContain('CapInh:\t0000000000000000');
    expect(r.stdout).toContain('CapAmb:\t0000000000000000');
    expect(r.stdout).toContain('Seccomp:\t2');
    expect(r.stdout).toContain('fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero');
    expect(r.stderr).toContain('permission denied');
    expect(r.stderr).toContain('Operation not permitted');
  });

  test('a device that was not given is refused by the kernel', async () => {
    const r = await d.docker([...none, IMG, 'sh', '-c', 'mknod /kmsg c 1 11 && head -c 1 /kmsg']);
    expect(r.code).not.toBe(0);
    expect(r.stderr).toContain('Operation not permitted');
  });

  test('bind mounts, read-only ones, tmpfs and a read-only root', async () => {
    const host = path.join(d.directory, 'bind');
    fs.mkdirSync(host);
    fs.writeFileSync(path.join(host, 'f'), 'from the host');
    expect(await d.must([...none, '-v', `${host}:/data`, IMG, 'sh', '-c', 'cat /data/f; echo back > /data/g'])).toBe(
      'from the host',
    );
    expect(fs.readFileSync(path.join(host, 'g'), 'utf8')).toBe('back\n');
    const ro = await d.docker([...none, '-v', `${host}:/data:ro`, IMG, 'touch', '/data/h']);
    expect(ro.stderr).toContain('Read-only file system');
    // What is mounted on /etc does not hide the files that are made for it, but one of the user's own does.
    const etc = await d.must([...none, '-h', 'named', '-v', `${host}:/etc`, IMG, 'cat', '/etc/f', '/etc/hostname']);
    expect(etc).toBe('from the hostnamed');
    const own = ['-v', `${host}/f:/etc/hostname`];
    expect(await d.must([...none, ...own, IMG, 'cat', '/etc/hostname'])).toBe('from the host');
    const root = await d.docker([
      ...none,
      '--read-only',
      '--tmpfs',
      '/scratch',
      IMG,
      'sh',
      '-c',
      'touch /scratch/x && touch /y',
    ]);
    expect(root.stderr).toContain('touch: /y: Read-only file system');
    expect(root.stderr).not.toContain('scratch');
  });

  test('user, groups, environment, working directory, hostname', async () => {
    const out = await d.must([
      ...none,
      '-u',
      'sailor',
      '-w',
      '/tmp',
      '-e',
      'A=b',
      '-h',
      'port',
      IMG,
      'sh',
      '-c',
      'id -u; id -G; pwd; echo $A $HOME; hostname',
    ]);
    expect(out).toBe('1000\n1000 2000\n/tmp\nb /home\nport');
  });
});
