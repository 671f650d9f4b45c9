import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { defaultSeccomp } from '#libcontainer/seccomp/seccomp.ts';
import { StartError } from '#libcontainer/explain.ts';
import { Bench, failureOf, messageOf, hostFacts, readTerminal, specOf } from './bench.ts';

let bench: Bench;
let before: ReturnType<typeof hostFacts>;
beforeAll(async () => {
  bench = new Bench();
  await bench.run(['true']);
  before = hostFacts();
});
afterAll(async () => {
  const after = hostFacts();
  await bench[Symbol.asyncDispose]();
  expect(after).toEqual(before);
});

describe('a container', () => {
  test('is the first process of its own world', async () => {
    const lines = await bench.lines('echo $$; hostname; cat /proc/self/oom_score_adj; ls / | tr "\\n" " "; echo; pwd');
    expect(lines).toEqual(['1', 'berth', '0', 'bin dev etc proc root sys tmp ', '/']);
  });

  test('gives back its exit code and nothing else stays', async () => {
    expect(await bench.run(['sh', '-c', 'exit 7'])).toEqual({ exitCode: 7, output: '', error: undefined });
    expect((await bench.run(['sh', '-c', 'kill -9 $$; exit 3'])).exitCode).toBe(3);
  });

  test('has a loopback that is up', async () => {
    expect((await bench.lines('ip -o addr')).filter((line) => line.includes('inet 127.0.0.1'))).toHaveLength(1);
  });

  test('is in its own cgroups', async () => {
    await using container = bench.start(specOf(['sleep', '60']));
    expect(container.cgroup.pids()).toEqual([container.pid]);
    expect(fs.readFileSync(`/proc/${container.pid}/cgroup`, 'utf8')).toContain(container.cgroup.path);
  });

  test('sees its own groups only', async () => {
    const lines = await bench.lines('cat /proc/self/cgroup; ls /sys/fs/cgroup; touch /sys/fs/cgroup/x', {
      namespaces: ['mount', 'pid', 'network', 'ipc', 'uts', 'cgroup'],
    });
    expect(lines.filter((line) => line.includes('libcontainer-test'))).toEqual([]);
    expect(lines.at(-1)).toContain('Read-only file system');
  });

  test('has what was asked for of limits, umask and environment', async () => {
    const lines = await bench.lines('ulimit -n; ulimit -c; umask; echo $HOME $A; cat /proc/self/oom_score_adj', {
      process: {
        env: ['PATH=/bin', 'A=b c'],
        oomScoreAdj: 300,
        rlimits: [
          { type: 'RLIMIT_NOFILE', soft: 77, hard: 88 },
          { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
        ],
        user: { uid: 0, gid: 0, umask: 0o27, username: '' },
      },
    });
    expect(lines).toEqual(['77', '0', '0027', '/root b c', '300']);
  });

  test('has its kernel parameters', async () => {
    const lines = await bench.lines('cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax', {
      linux: { sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.msgmax': '9000' } },
    });
    expect(lines).toEqual(['0', '9000']);
  });

  test('can shift its clocks', async () => {
    const lines = await bench.lines('cut -d. -f1 /proc/uptime 2>/dev/null || cat /proc/uptime', {
      linux: {
        timeOffsets: { boottime: { secs: 5_000_000 } },
        namespaces: (['mount', 'pid', 'network', 'ipc', 'uts', 'time'] as const).map((type) => ({ type })),
      },
    });
    expect(Number.parseInt(lines.at(-1) ?? '', 10)).toBeGreaterThan(5_000_000);
  });

  test('runs in the namespaces of another', async () => {
    await using other = bench.start(specOf(['sleep', '60']));
    const join = (['pid', 'network', 'ipc'] as const).map((type) => ({
      type,
      path: `/proc/${other.pid}/ns/${type === 'network' ? 'net' : type}`,
    }));
    const lines = await bench.lines('ps | grep sleep | grep -vc grep; readlink /proc/self/ns/net', {
      linux: { namespaces: [{ type: 'mount' }, { type: 'uts' }, ...join] },
    });
    expect(lines).toEqual(['1', fs.readlinkSync(`/proc/${other.pid}/ns/net`)]);
  });

  test('of another user has its groups and no capabilities', async () => {
    const lines = await bench.lines(
      'id; grep -E "Cap(Inh|Prm|Eff|Amb)" /proc/self/status; echo $HOME; echo x > /dev/stdout',
      {
        process: { user: { uid: 0, gid: 0, username: 'bob' } },
      },
    );
    expect(lines[0]).toBe('uid=1000(bob) gid=1001(bob) groups=44(video),1001(bob)');
    expect(lines.slice(1, 5).every((line) => line.endsWith('\t0000000000000000'))).toBe(true);
    expect(lines.slice(5)).toEqual(['/home/bob', 'x']);
  });

  test('with ambient capabilities keeps them as another user', async () => {
    const lines = await bench.lines('grep -E "Cap(Prm|Eff|Amb)" /proc/self/status', {
      process: {
        user: { uid: 1000, gid: 1000 },
        capabilities: {
          bounding: ['CAP_NET_RAW'],
          permitted: ['CAP_NET_RAW'],
          inheritable: ['CAP_NET_RAW'],
          ambient: ['CAP_NET_RAW'],
        },
      },
    });
    expect(lines.every((line) => line.endsWith('\t0000000000002000'))).toBe(true);
  });
});

describe('a filter', () => {
  for (const noNewPrivileges of [false, true])
    for (const username of ['', 'bob'])
      test(`is in force (no_new_privs ${noNewPrivileges}, user "${username}")`, async () => {
        const lines = await bench.lines('grep -E "NoNew|Seccomp:" /proc/self/status; unshare -U true; echo $?', {
          process: { noNewPrivileges, user: { uid: 0, gid: 0, username } },
          linux: { seccomp: defaultSeccomp([]) },
        });
        expect(lines.slice(0, 2)).toEqual([`NoNewPrivs:\t${noNewPrivileges ? 1 : 0}`, 'Seccomp:\t2']);
        expect(lines.at(-1)).toBe('1');
      });
});

describe('a user namespace', () => {
  const maps = [{ containerID: 0, hostID: 200_000, size: 65_536 }];
  const linux = {
    uidMappings: maps,
    gidMappings: maps,
    namespaces: (['mount', 'pid', 'network', 'ipc', 'uts', 'user', 'cgroup'] as const).map((type) => ({ type })),
  };

  test('makes root of somebody else', async () => {
    await using container = bench.start(specOf(['sleep', '60'], { linux }));
    expect(fs.readFileSync(`/proc/${container.pid}/status`, 'utf8')).toContain('Uid:\t200000\t200000');
    const { output } = bench.exec(container, {
      args: ['sh', '-c', 'id -u; cat /proc/self/uid_map'],
    });
    expect(output.split(/\s+/).filter((word) => word !== '')).toEqual(['0', '0', '200000', '65536']);
  });

  test('has devices, tmpfs and streams of its own', async () => {
    const lines = await bench.lines(
      'stat -c %u /dev/shm /dev/null; mkdir /dev/shm/d && echo made; echo x > /dev/null && echo ok',
      {
        linux,
      },
    );
    expect(lines).toEqual(['0', '0', 'made', 'ok']);
  });
});

describe('a terminal', () => {
  test('is the controlling one, of the size asked for, and /dev/console', async () => {
    const script =
      'tty; stty size; stat -c %t:%T /dev/console; echo to-console > /dev/console; cat /proc/self/mountinfo | grep -c console';
    await using container = bench.start(
      specOf(['sh', '-c', script], { process: { terminal: true, consoleSize: { height: 12, width: 34 } } }),
    );
    expect(container.end().exitCode).toBe(0);
    expect(
      readTerminal(container.master ?? -1)
        .trim()
        .split('\n'),
    ).toEqual(['/dev/pts/0', '12 34', '88:0', 'to-console', '1']);
  });
});

describe('a start that fails', () => {
  const failures: readonly (readonly [string, string[], number, string])[] = [
    ['no such program in PATH', ['nope'], 127, 'exec: "nope": executable file not found in $PATH'],
    ['no such file', ['/nope'], 127, 'exec: "/nope": stat /nope: no such file or directory'],
    ['a directory', ['/etc'], 126, 'exec: "/etc": permission denied'],
    ['a file that is no program', ['/etc/passwd'], 126, 'exec: "/etc/passwd": permission denied'],
  ];
  for (const [name, args, exitCode, message] of failures)
    test(name, async () => {
      const { error } = await bench.run(args);
      expect(error).toBeInstanceOf(StartError);
      expect(error).toMatchObject({ exitCode, message });
    });

  test('too many arguments are refused before anything is made', async () => {
    const long = ['x'.repeat(131_072)];
    expect(await failureOf(bench.run(['echo', ...long]))).toMatchObject({ exitCode: 126 });
    const many = Array.from({ length: 300 }, () => 'y'.repeat(8000));
    expect(await messageOf(bench.run(['echo', ...many]))).toContain('argument list too long');
  });
});
