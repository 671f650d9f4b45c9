/** Rows of the escape table that a container's start has to answer for. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { defaultSeccomp } from '#libcontainer/seccomp/seccomp.ts';
import { Bench, messageOf, specOf } from './bench.ts';

let bench: Bench;
let canary: string;
beforeAll(() => {
  bench = new Bench();
  canary = bench.at('canary');
  fs.mkdirSync(canary);
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

/** The image with `name` replaced by a symlink, for the time of `work`. */
async function withSymlink(name: string, target: string, work: () => Promise<void>): Promise<void> {
  const at = `${bench.rootfs}/${name}`;
  fs.renameSync(at, `${at}.real`);
  fs.symlinkSync(target, at);
  try {
    await work();
  } finally {
    fs.rmSync(at);
    fs.renameSync(`${at}.real`, at);
  }
}

describe('a hostile image', () => {
  for (const name of ['dev', 'proc', 'sys'])
    test(`with /${name} as a symlink is refused (CVE-2026-41579, CVE-2023-27561)`, () =>
      withSymlink(name, canary, async () => {
        expect(await messageOf(bench.run(['true']))).toContain('must not be a symlink');
        expect(fs.readdirSync(canary)).toEqual([]);
      }));

  test('without a /dev mount, with /dev as a symlink, gets no device made', () =>
    withSymlink('dev', '/etc', async () => {
      const spec = specOf(['true']);
      const mounts = (spec.mounts ?? []).filter(({ destination }) => !destination.startsWith('/dev'));
      expect(() => bench.start({ ...spec, mounts })).toThrow('is a symlink in the container');
      expect(fs.existsSync(`${bench.rootfs}/etc/null`)).toBe(false);
    }));

  test('with links on the way of a mount keeps it inside (CVE-2021-30465, CVE-2022-23648)', async () => {
    fs.symlinkSync('../../../../../../../..', `${bench.rootfs}/up`);
    const source = bench.at('source');
    fs.mkdirSync(source, { recursive: true });
    const destination = `/up${canary}/mounted`;
    const lines = await bench.lines(`ls -d ${canary}/mounted; grep -c mounted /proc/self/mounts`, {
      mounts: [{ destination, type: 'bind', source, options: ['bind'] }],
    });
    expect(lines).toEqual([`${canary}/mounted`, '1']);
    expect(fs.readdirSync(canary)).toEqual([]);
    fs.rmSync(`${bench.rootfs}/up`);
  });

  test('whose program is /proc/self/exe finds a file of 0 rights to write (CVE-2019-5736)', async () => {
    const { exitCode, error } = await bench.run(['/proc/self/exe']);
    expect(error).toBeUndefined();
    // The sealed executable that only exits.
    expect(exitCode).toBe(0);
    const seen: string[] = [];
    await using container = bench.start(specOf(['sleep', '60']));
    seen.push(fs.readlinkSync(`/proc/${container.pid}/exe`));
    expect(seen).toEqual(['/bin/busybox']);
  });

  test('with a passwd that is a FIFO, a link out, or huge', async () => {
    const passwd = `${bench.rootfs}/etc/passwd`;
    const content = fs.readFileSync(passwd);
    fs.rmSync(passwd);
    fs.symlinkSync('/../../../../../etc/hostname', passwd);
    const asLink = await bench.lines('id -u', { process: { user: { uid: 0, gid: 0, username: '1000' } } });
    expect(asLink).toEqual(['1000']);
    fs.rmSync(passwd);
    const { error } = Bun.spawnSync(['mkfifo', passwd]).exitCode === 0 ? { error: undefined } : { error: 'mkfifo' };
    expect(error).toBeUndefined();
    const asBob = { process: { user: { uid: 0, gid: 0, username: 'bob' } } };
    expect(await messageOf(bench.run(['id'], asBob))).toContain('is not a regular file');
    fs.rmSync(passwd);
    fs.writeFileSync(passwd, '');
    fs.truncateSync(passwd, 1 << 30);
    expect(await messageOf(bench.run(['id'], asBob))).toContain('larger than');
    fs.rmSync(passwd);
    fs.writeFileSync(passwd, content);
  });
});

describe('a working directory', () => {
  test('in /proc/self/fd never leads to the host (CVE-2024-21626)', async () => {
    for (let fd = 3; fd <= 64; fd++) {
      const cwd = `/proc/self/fd/${fd}`;
      const ran = await bench.run(['pwd'], { process: { cwd } }).catch((error: unknown) => ({ output: '', error }));
      expect(ran.error).toBeDefined();
      expect(ran.output).toBe('');
    }
  }, 60_000);

  test('of an exec neither', async () => {
    await using container = bench.start(specOf(['sleep', '60']));
    for (let fd = 3; fd <= 16; fd++) {
      const ran = bench.exec(container, { args: ['pwd'], cwd: `/proc/self/fd/${fd}` });
      expect(ran.error).toBeDefined();
      expect(ran.output).toBe('');
    }
  });
});

describe('ids', () => {
  const asUser = (username: string) => bench.run(['id', '-u'], { process: { user: { uid: 0, gid: 0, username } } });

  test('a number out of range is refused (CVE-2024-40635)', async () => {
    for (const user of ['4294967296', '2147483648', '0:4294967296'])
      expect(await messageOf(asUser(user))).toContain('uids and gids must be in range');
  });

  test('a number is never a name (CVE-2026-46680, CVE-2026-30892)', async () => {
    expect((await asUser('1234')).output.trim()).toBe('1234');
    expect((await asUser('1')).output.trim()).toBe('1');
  });
});

describe('/proc of a container', () => {
  const masked = specOf([]).linux?.maskedPaths ?? [];

  test('masked paths that the host has are empty', async () => {
    const there = masked.filter((path) => fs.existsSync(path));
    expect(there.length).toBeGreaterThan(2);
    for (const path of there) {
      const script = `if [ -d ${path} ]; then ls -A ${path} | wc -l; touch ${path}/x 2>/dev/null && echo written; else cat ${path} | wc -c; fi`;
      expect([path, ...(await bench.lines(script))]).toEqual([path, '0']);
    }
  });

  test('read-only paths refuse writes', async () => {
    const lines = await bench.lines('echo 1 > /proc/sys/kernel/panic; touch /proc/irq/x; touch /sys/x');
    expect(lines).toHaveLength(3);
    for (const line of lines)
      expect(line).toMatch(/Read-only|Permission denied|not permitted|nonexistent|No such file/);
  });

  test('nothing but procfs goes onto it (CVE-2019-16884, CVE-2019-19921)', async () => {
    const mount = (destination: string, type: string, source = '/tmp') => ({
      mounts: [{ destination, type, source, options: type === 'bind' ? ['bind'] : [] }],
    });
    expect(await messageOf(bench.run(['true'], mount('/proc', 'tmpfs')))).toContain('only procfs goes there');
    expect(await messageOf(bench.run(['true'], mount('/proc', 'bind')))).toContain('inside /proc');
    expect(await messageOf(bench.run(['true'], mount('/proc/self/attr', 'bind')))).toContain('inside /proc');
    expect(await messageOf(bench.run(['true'], mount('/proc/../proc/sys', 'tmpfs')))).toContain('inside /proc');
  });

  test('a file for the numbers of the kernel may (lxcfs)', async () => {
    fs.writeFileSync(bench.at('meminfo'), 'ours\n');
    const mounts = [{ destination: '/proc/meminfo', type: 'bind', source: bench.at('meminfo'), options: ['bind'] }];
    expect(await bench.lines('cat /proc/meminfo', { mounts })).toEqual(['ours']);
  });
});

describe('what a program starts with', () => {
  test('three descriptors', async () => {
    // The fourth is the directory that ls reads.
    expect(await bench.lines('ls -1 /proc/self/fd')).toEqual(['0', '1', '2', '3']);
  });

  test('no inheritable capabilities (CVE-2022-24769)', async () => {
    expect(await bench.lines('grep -E "CapInh|CapBnd|CapEff" /proc/self/status')).toEqual([
      'CapInh:\t0000000000000000',
      'CapEff:\t00000000a80425fb',
      'CapBnd:\t00000000a80425fb',
    ]);
  });

  test('no signal ignored or blocked', async () => {
    await using container = bench.start(specOf(['sleep', '60']));
    const status = fs.readFileSync(`/proc/${container.pid}/status`, 'utf8');
    expect(status).toMatch(/SigBlk:\t0{16}\nSigIgn:\t0{16}\n/);
  });

  test('no path to the host', async () => {
    const lines = await bench.lines(
      'grep -c berth-libcontainer /proc/self/mounts; ls /proc/1/root/; cat /proc/1/mounts | wc -l',
    );
    expect(lines[0]).toBe('0');
    expect(lines[1]).toBe('bin');
  });

  test('the default filter refuses namespaces, mounts and more (CVE-2022-0185)', async () => {
    const linux = { seccomp: defaultSeccomp([]) };
    const script =
      'unshare -U true 2>/dev/null || echo no; mount -t tmpfs x /tmp 2>/dev/null || echo no; umount /proc 2>/dev/null || echo no';
    expect(await bench.lines(script, { linux })).toEqual(['no', 'no', 'no']);
  });
});

describe('races over a shared volume (CVE-2021-30465, CVE-2025-31133)', () => {
  test('a mount point that is exchanged for a link ends the start or stays inside', async () => {
    const volume = bench.at('shared');
    fs.mkdirSync(`${volume}/a/x`, { recursive: true });
    fs.symlinkSync(canary, `${volume}/link`);
    const mounts = [
      { destination: '/v', type: 'bind', source: volume, options: ['bind'] },
      { destination: '/v/a/x', type: 'tmpfs', options: [] },
    ];
    const attack = 'while :; do mv /v/a /v/b; mv /v/link /v/a; mv /v/a /v/link; mv /v/b /v/a; done 2>/dev/null';
    await using _attacker = bench.start(specOf(['sh', '-c', attack], { mounts: mounts.slice(0, 1) }));
    const end = performance.now() + 3000;
    let started = 0;
    while (performance.now() < end) {
      const ran = await bench
        .run(['sh', '-c', 'touch /v/a/x/mark; true'], { mounts })
        .catch((error: unknown) => ({ error }));
      if (ran.error === undefined) started += 1;
    }
    expect(fs.readdirSync(canary)).toEqual([]);
    expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(bench.directory);
    expect(started).toBeGreaterThanOrEqual(0);
  }, 30_000);
});
