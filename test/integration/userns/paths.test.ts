/** Masked and read-only paths, read-only roots, no-new-privileges and init, alone and with a user namespace. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 300_000);
afterAll(() => d[Symbol.asyncDispose](), 300_000);

describe.each([[[]], [['--security-opt', 'userns=auto']]])('with %p', (namespace) => {
  const inside = async (script: string, ...flags: string[]) =>
    (await d.must(['run', '--rm', '--network', 'none', ...namespace, ...flags, IMG, 'sh', '-c', script])).split('\n');
  const MOUNTS = 'cut -d" " -f5 /proc/self/mountinfo | grep -c "^/proc/\\|^/sys/firmware"';

  test('systempaths=unconfined leaves every path as it is, by docker’s words and by ours', async () => {
    expect(Number((await inside(MOUNTS))[0])).toBeGreaterThan(4);
    // The docker CLI sends empty lists, another client the option itself.
    expect(await inside(`${MOUNTS}; true`, '--security-opt', 'systempaths=unconfined')).toEqual(['0']);
    const options = [...namespace.filter((o) => o !== '--security-opt'), 'systempaths=unconfined'];
    const made = await d.request('POST', '/v1.51/containers/create', {
      Image: IMG,
      Cmd: ['sh', '-c', `${MOUNTS}; true`],
      HostConfig: { NetworkMode: 'none', SecurityOpt: options },
    });
    // as: the answer of a create.
    const { Id: id } = made.body as { Id: string };
    expect(await d.must(['start', '-a', id])).toBe('0');
    expect(await d.must(['inspect', '-f', '{{.HostConfig.MaskedPaths}} {{.HostConfig.ReadonlyPaths}}', id])).toBe(
      '[] []',
    );
    await d.must(['rm', id]);
  });

  test('paths of the request are masked and made read-only instead of the usual ones', async () => {
    const made = await d.request('POST', '/v1.51/containers/create', {
      Image: IMG,
      Cmd: [
        'sh',
        '-c',
        'ls -A /usr | wc -l; wc -c < /etc/group; touch /tmp/x 2>&1; ls /proc/bus > /dev/null && echo seen',
      ],
      HostConfig: {
        NetworkMode: 'none',
        SecurityOpt: namespace.filter((o) => o !== '--security-opt'),
        MaskedPaths: ['/usr', '/etc/group', '/not/there'],
        ReadonlyPaths: ['/tmp'],
      },
    });
    const { Id: id } = made.body as { Id: string }; // as above
    expect((await d.must(['start', '-a', id])).split('\n')).toEqual([
      '0',
      '0',
      'touch: /tmp/x: Read-only file system',
      'seen',
    ]);
    await d.must(['rm', id]);
  });

  test('a read-only root holds back everything but what is mounted', async () => {
    const script = 'touch /x /etc/x 2>&1; echo x >> /etc/hosts; touch /v/f /t/f /dev/shm/f && echo ok';
    const r = await d.docker([
      'run',
      '--rm',
      '--network',
      'none',
      ...namespace,
      '--read-only',
      '-v',
      '/v',
      '--tmpfs',
      '/t',
      IMG,
      'sh',
      '-c',
      script,
    ]);
    expect(r.stdout.split('\n').slice(0, 2)).toEqual([
      'touch: /x: Read-only file system',
      'touch: /etc/x: Read-only file system',
    ]);
    expect(r.stderr).toContain("can't create /etc/hosts: Read-only file system");
    expect(r.stdout.trim().split('\n').at(-1)).toBe('ok');
  });

  test('no-new-privileges and init, with a terminal and without', async () => {
    const script = 'grep NoNewPrivs /proc/self/status; cat /proc/1/comm; kill -0 1 && echo alive';
    const flags = ['--security-opt', 'no-new-privileges', '--init'];
    const expected = ['NoNewPrivs:\t1', 'docker-init', 'alive'];
    expect(await inside(script, ...flags)).toEqual(expected);
    expect((await inside(script, ...flags, '-t')).map((line) => line.replace(/\r$/, ''))).toEqual(expected);
    // An orphan is reaped, a signal passed on.
    expect(await inside('(sleep 0.1 & ) ; sleep 0.5; cat /proc/[0-9]*/stat | grep -c ") Z "; true', ...flags)).toEqual([
      '0',
    ]);
    await d.must([
      'run',
      '-d',
      '--network',
      'none',
      ...namespace,
      '--init',
      '--name',
      'trap',
      IMG,
      'sh',
      '-c',
      'trap "exit 9" TERM; while :; do sleep 0.1; done',
    ]);
    await d.must(['stop', 'trap']);
    expect(await d.must(['inspect', '-f', '{{.State.ExitCode}}', 'trap'])).toBe('9');
    await d.must(['rm', 'trap']);
  }, 300_000);
});
