/**
 * `stats`, `top`: figures of a container whose work is known, compared with what it did. The stock CLI, our own and the
 * API have to tell the same.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import type { ContainerStats } from '../../../src/api/types/stats.ts';
import { cpuPercent, memoryUsed } from '../../../src/client/container/stats-row.ts';
import { eventually, run, SLOW } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';
const MB = 1_000_000;
const MIB = 2 ** 20;
let d: TestDaemon;

beforeAll(async () => {
  d = await TestDaemon.start();
}, SLOW * 60_000);
afterAll(async () => d[Symbol.asyncDispose](), 60_000);

async function frameOf(container: string, query = 'stream=false'): Promise<ContainerStats> {
  const { status, body } = await d.request('GET', `/v1.51/containers/${container}/stats?${query}`);
  expect(status).toBe(200);
  // as: the wire type of this path.
  return body as ContainerStats;
}

const within = (share: number, value: number, expected: number): boolean =>
  Math.abs(value - expected) <= expected * share;

/** `12.5MB`, `50MiB` as bytes. */
function bytesOf(text: string): number {
  const [, number = '', unit = ''] = /^([\d.]+)(\w+)$/.exec(text.trim()) ?? [];
  const powers: Record<string, number> = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9, KiB: 1024, MiB: MIB, GiB: 2 ** 30 };
  return Number(number) * (powers[unit] ?? NaN);
}

const UNIFIED = fs.existsSync('/sys/fs/cgroup/cgroup.controllers');

/** What the kernel has booked for the container, and when: the truth that figures are held against. */
function bookedNs(id: string): { used: number; at: number } {
  const root = UNIFIED ? '/sys/fs/cgroup' : '/sys/fs/cgroup/cpuacct';
  // Under systemd on cgroup v2 it is in a scope of a slice.
  const [group = ''] = fs.globSync([`${root}/berth*/${id}`, `${root}/berth.slice/*/${id}`]);
  const text = fs.readFileSync(`${group}/${UNIFIED ? 'cpu.stat' : 'cpuacct.usage'}`, 'utf8');
  const used = UNIFIED ? Number(/^usage_usec (\d+)$/m.exec(text)?.[1]) * 1000 : Number(text);
  return { used, at: performance.now() };
}

describe('a container that burns half a core, holds 50 MB, writes 20 MB and receives 10 MB', () => {
  const script = [
    'dd if=/dev/zero of=/dev/shm/held bs=1000000 count=50 2>/dev/null',
    'dd if=/dev/zero of=/written bs=1000000 count=20 conv=fsync 2>/dev/null',
    'nc -l -p 9 >/dev/null',
    'touch /done',
    'while :; do :; done',
  ].join('\n');
  let id = '';

  beforeAll(async () => {
    const shape = ['--cpus', '0.5', '--shm-size', '128m'];
    id = await d.must(['run', '-di', '--name', 'worker', ...shape, IMAGE, 'sh', '-c', script]);
    const address = await d.must(['inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'worker']);
    await eventually(
      'the container has received',
      async () => {
        await run('sh', ['-c', `head -c 10000000 /dev/zero | timeout 5 busybox nc ${address} 9`]);
        return (await d.docker(['exec', 'worker', 'test', '-e', '/done'])).code === 0;
      },
      30_000,
    );
  }, SLOW * 60_000);

  test(
    'every figure of the API is within a tenth',
    async () => {
      // A processor of a busy machine may be less than asked for: the figure is held against what the kernel booked.
      await eventually(
        'the processor use is told right',
        async () => {
          const before = bookedNs(id);
          await frameOf('worker');
          await Bun.sleep(1000);
          const frame = await frameOf('worker');
          const after = bookedNs(id);
          const truth = (after.used - before.used) / 1e6 / (after.at - before.at);
          return within(0.1, cpuPercent(frame) / 100, truth) && (within(0.1, truth, 0.5) || truth < 0.45);
        },
        20_000,
      );
      const frame = await frameOf('worker');
      expect(within(0.1, memoryUsed(frame), 50 * MB)).toBe(true);
      expect(frame.memory_stats.limit).toBeGreaterThan(50 * MB);
      const received = frame.networks?.['eth0']?.rx_bytes ?? 0;
      expect(within(0.1, received, 10 * MB)).toBe(true);
      expect(Object.keys(frame.networks ?? {})).toEqual(['eth0']);
      expect(frame.cpu_stats.throttling_data.periods).toBeGreaterThan(0);
      const written = frame.blkio_stats.io_service_bytes_recursive?.find(
        (entry) => entry.op.toLowerCase() === 'write',
      )?.value;
      if (written === undefined || written === 0)
        console.log('skipped: this kernel books no writes to blkio of cgroup v1');
      else expect(within(0.1, written, 20 * MB)).toBe(true);
    },
    SLOW * 30_000,
  );

  for (const [name, cli] of [
    ['docker', (args: string[]) => d.docker(args)],
    ['berth', (args: string[]) => d.berth(args)],
  ] as const) {
    test(
      `every figure of ${name} stats is within a tenth`,
      async () => {
        const format = '{{.CPUPerc}}|{{.MemUsage}}|{{.NetIO}}|{{.BlockIO}}|{{.PIDs}}|{{.Name}}';
        const row = async () => {
          const r = await cli(['stats', '--no-stream', '--format', format, 'worker']);
          expect(r.stderr).toBe('');
          return r.stdout.trim().split('|');
        };
        await eventually(
          'the processor use is told right',
          async () => {
            const before = bookedNs(id);
            await row();
            await Bun.sleep(1000);
            const [cpu = ''] = await row();
            const after = bookedNs(id);
            const truth = (after.used - before.used) / 1e6 / (after.at - before.at);
            return within(0.1, Number.parseFloat(cpu) / 100, truth);
          },
          20_000,
        );
        const [, memory = '', network = '', block = '', pids = '', container = ''] = await row();
        expect(within(0.1, bytesOf(memory.split('/')[0] ?? ''), 50 * MB)).toBe(true);
        expect(within(0.1, bytesOf(network.split('/')[0] ?? ''), 10 * MB)).toBe(true);
        const written = bytesOf(block.split('/')[1] ?? '');
        if (written === 0) console.log('skipped: this kernel books no writes to blkio of cgroup v1');
        else expect(within(0.1, written, 20 * MB)).toBe(true);
        expect([pids, container]).toEqual(['1', 'worker']);
      },
      SLOW * 30_000,
    );
  }
});

describe('forms of asking', () => {
  beforeAll(async () => {
    await d.must([
      'run',
      '-d',
      '--name',
      'idle',
      '--network',
      'none',
      '-m',
      '32m',
      '--pids-limit',
      '7',
      IMAGE,
      'sleep',
      '1000',
    ]);
    await d.must(['create', '--name', 'never', IMAGE, 'true']);
  }, SLOW * 30_000);

  test('stats: every field of API 1.51, one-shot, and zeros of a container that does not run', async () => {
    const frame = await frameOf('idle');
    expect(Date.parse(frame.read) - Date.parse(frame.preread)).toBeGreaterThanOrEqual(20);
    expect(frame.precpu_stats.system_cpu_usage).toBeGreaterThan(0);
    expect([frame.name, frame.pids_stats, frame.memory_stats.limit]).toEqual([
      '/idle',
      { current: 1, limit: 7 },
      32 * MIB,
    ]);
    expect(frame).not.toHaveProperty('networks');
    expect((frame.cpu_stats.cpu_usage.percpu_usage?.length ?? 0) > 0).toBe(!UNIFIED);
    expect(Object.keys(frame.blkio_stats)).toHaveLength(8);
    if (UNIFIED) expect(frame.memory_stats.stats).toHaveProperty('anon');
    else expect(frame.memory_stats.stats).toHaveProperty('hierarchical_memory_limit', 32 * MIB);
    const oneShot = await frameOf('idle', 'stream=0&one-shot=1');
    expect([oneShot.preread, oneShot.precpu_stats.cpu_usage.total_usage]).toEqual(['0001-01-01T00:00:00Z', 0]);
    expect(oneShot.read > frame.read).toBe(true);
    const stopped = await frameOf('never');
    expect([stopped.read, stopped.memory_stats, stopped.pids_stats]).toEqual(['0001-01-01T00:00:00Z', {}, {}]);
    expect(stopped.blkio_stats.io_service_bytes_recursive).toBeNull();
    const both = await d.request('GET', '/v1.51/containers/idle/stats?one-shot=1');
    expect(both).toEqual({ status: 400, body: { message: 'cannot have stream=true and one-shot=true' } });
    expect((await d.request('GET', '/v1.51/containers/nosuch/stats')).status).toBe(404);
  });

  test(
    'a stream gives real earlier samples from its first frame on, and ends with the container',
    async () => {
      await d.must(['run', '-d', '--name', 'short', '--network', 'none', IMAGE, 'sleep', '1000']);
      const response = await fetch('http://berth/v1.51/containers/short/stats', { unix: d.socket });
      const frames: ContainerStats[] = [];
      let text = '';
      const decoder = new TextDecoder();
      const body: AsyncIterable<Uint8Array> | null = response.body;
      for await (const chunk of body ?? []) {
        text += decoder.decode(chunk, { stream: true });
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        // as: the wire type of this path.
        frames.push(...lines.map((line) => JSON.parse(line) as ContainerStats));
        if (frames.length === 2) void d.docker(['rm', '-f', 'short']);
      }
      expect(frames.length).toBeGreaterThanOrEqual(2);
      for (const frame of frames.slice(0, 2)) expect(Date.parse(frame.preread)).toBeLessThan(Date.parse(frame.read));
      expect(frames[1]?.preread).toBe(frames[0]?.read ?? '');
    },
    SLOW * 20_000,
  );

  test(
    'docker stats and berth stats: all, several, templates, unknown names',
    async () => {
      for (const cli of [(args: string[]) => d.docker(args), (args: string[]) => d.berth(args)]) {
        const table = await cli(['stats', '--no-stream', 'idle']);
        expect(table.stdout.split('\n')[0]).toMatch(
          /^CONTAINER ID +NAME +CPU % +MEM USAGE \/ LIMIT +MEM % +NET I\/O +BLOCK I\/O +PIDS$/,
        );
        expect(table.stdout).toMatch(/ idle +\d+\.\d\d% +[\d.]+[KM]iB \/ 32MiB +\d+\.\d\d% +0B \/ 0B +\S+ \/ \S+ +1\n/);
        const named = await cli(['stats', '--no-stream', '--format', '{{.Name}} {{.PIDs}}', 'idle', 'never']);
        expect(named.stdout.trim().split('\n').sort()).toEqual(['idle 1', 'never 0']);
        const running = await cli(['stats', '--no-stream', '--format', '{{.Name}}']);
        expect(running.stdout).not.toContain('never');
        const all = await cli(['stats', '--no-stream', '-a', '--format', 'json']);
        expect(all.stdout).toContain('"Name":"never"');
        const unknown = await cli(['stats', '--no-stream', 'nosuch']);
        expect([unknown.code, unknown.stderr.includes('No such container: nosuch')]).toEqual([1, true]);
      }
    },
    SLOW * 30_000,
  );

  test(
    'berth stats draws until the container is gone',
    async () => {
      await d.must(['run', '-d', '--name', 'shown', '--network', 'none', IMAGE, 'sleep', '1000']);
      const drawing = d.berth(['stats', '--format', '{{.Name}} {{.PIDs}}', 'shown'], { limitMs: 20_000 });
      await Bun.sleep(1500);
      await d.must(['rm', '-f', 'shown']);
      const { code, stdout } = await drawing;
      expect([code, stdout.split('\n').includes('shown 1')]).toEqual([0, true]);
    },
    SLOW * 30_000,
  );

  test('nobody asks: no collector is left', async () => {
    const { body } = await d.request('GET', '/berth/jobs');
    // as: Berth's own route.
    const jobs = body as { Name: string; Status: string }[];
    expect(jobs.filter((job) => job.Name === 'container.stats' && job.Status === 'running')).toEqual([]);
  });
});

test(
  'top: every form that ps on the host knows, its refusals, and no other process of the host',
  async () => {
    await d.must(['run', '-d', '--name', 'listed', '--network', 'none', IMAGE, 'sh', '-c', 'sleep 1000 & sleep 1000']);
    const top = (...args: string[]) => d.docker(['top', 'listed', ...args]);
    const rows = async (...args: string[]) =>
      (await d.must(['top', 'listed', ...args])).split('\n').map((l) => l.split(/ {2,}/));
    expect((await rows())[0]).toEqual(['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD']);
    await eventually('both processes are there', async () => (await rows()).length === 3);
    expect((await rows('aux'))[0]?.slice(0, 4)).toEqual(['USER', 'PID', '%CPU', '%MEM']);
    expect((await rows('-l'))[0]?.[0]).toBe('F');
    expect((await rows('-eo', 'pid,comm,args', '--sort', '-pid')).slice(1).map((row) => row[1])).toContain('sleep');
    const threads = await rows('axm');
    expect(threads.some((row) => row[0] === '-')).toBe(true);
    expect((await top('-o', 'comm')).stderr).toContain("Couldn't find PID field in ps output");
    expect((await top('-eo', 'ppid=PID,comm')).stderr).toContain('specifying "ppid=PID,comm" is not allowed');
    expect((await top('--nosuch')).stderr).toContain('ps: error: unknown gnu long option');
    expect((await d.berth(['top', 'listed', '-o', 'pid,comm'])).stdout).toContain('sleep');
    expect((await d.docker(['top', 'nosuch'])).stderr).toContain('No such container: nosuch');
    await d.must(['create', '--name', 'unstarted', IMAGE, 'true']);
    expect((await d.request('GET', '/v1.51/containers/unstarted/top')).status).toBe(409);
  },
  SLOW * 30_000,
);

test(
  'exec inspect: every field before, during and after, as dockerd tells them',
  async () => {
    await d.must(['run', '-d', '--name', 'host-of-execs', '--network', 'none', IMAGE, 'sleep', '1000']);
    const request = {
      Cmd: ['sh', '-c', 'sleep 0.5; exit 7'],
      User: '1000',
      Tty: true,
      DetachKeys: 'ctrl-a,b',
      AttachStdout: true,
    };
    const made = await d.request('POST', '/v1.51/containers/host-of-execs/exec', request);
    expect(made.status).toBe(201);
    const { Id } = made.body as { Id: string };
    const inspect = async () => (await d.request('GET', `/v1.51/exec/${Id}/json`)).body as Record<string, unknown>;
    const before = await inspect();
    expect(before).toEqual({
      ID: Id,
      Running: false,
      ExitCode: null,
      ProcessConfig: {
        tty: true,
        entrypoint: 'sh',
        arguments: ['-c', 'sleep 0.5; exit 7'],
        privileged: false,
        user: '1000',
      },
      OpenStdin: false,
      OpenStderr: false,
      OpenStdout: true,
      CanRemove: false,
      ContainerID: before['ContainerID'],
      DetachKeys: Buffer.from([1, 98]).toString('base64'),
      Pid: 0,
    });
    expect((await d.request('POST', `/v1.51/exec/${Id}/start`, { Detach: true, Tty: true })).status).toBe(200);
    const during = await inspect();
    expect([during['Running'], during['Pid'] !== 0]).toEqual([true, true]);
    const after = await eventually('the exec ends', async () => {
      const now = await inspect();
      return now['Running'] === false && now;
    });
    expect(after).toEqual({ ...during, Running: false, ExitCode: 7 });
  },
  SLOW * 30_000,
);
