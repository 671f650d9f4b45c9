/** Containers through another OCI runtime: the same contract as the native driver's, with runc and with `berth oci`. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { LaunchRequest, RunningProcess, StdioRequest } from '#execdriver/driver.ts';
import { OciDriver } from '#execdriver/oci/driver.ts';
import { detectCgroups } from '#libcontainer/cgroups/detect.ts';
import { planLayout, removeLayout } from '#libcontainer/cgroups/layout.ts';
import { withDefaultDevices } from '#libcontainer/oci/device-rules.ts';
import { rootfsOfBundle } from '#libcontainer/start.ts';
import type { Process } from '#libcontainer/spec.ts';
import { close } from '#sys/files.ts';
import { Bench, failureOf, readTerminal, specOf } from './bench.ts';

const source = path.resolve(import.meta.dirname, '../../../src/cmd');
const suffix = (process.pid + 0x100000).toString(16).slice(-6);
const layout = planLayout({ host: detectCgroups(), suffix });
const streams: StdioRequest = { stdin: false, stdout: true, stderr: true, tty: false };
const runtimes: readonly { name: string; runtime: string; runtimeArgs?: readonly string[] }[] = [
  { name: 'runc', runtime: '/usr/sbin/runc' },
  { name: 'berth', runtime: '' },
];

afterAll(() => removeLayout(layout));

for (const wanted of runtimes)
  describe(`containers of ${wanted.name}`, () => {
    let bench: Bench;
    let driver: OciDriver;
    let count = 0;
    const open = () => {
      const execRoot = bench.at('exec');
      fs.mkdirSync(execRoot, { recursive: true, mode: 0o700 });
      let { runtime } = wanted;
      if (wanted.name === 'berth') {
        runtime = bench.at('berth-oci');
        const script = `#!/bin/sh\nexec ${process.execPath} ${source}/oci.ts "$@"\n`;
        fs.writeFileSync(runtime, script, { mode: 0o755 });
      }
      const monitorCommand = [process.execPath, `${source}/monitor.ts`, '--lonely-ms', '500'];
      return new OciDriver({ name: wanted.name, runtime, execRoot, monitorCommand, cgroups: layout });
    };
    beforeAll(() => {
      bench = new Bench();
      driver = open();
    });
    afterAll(async () => {
      await driver.close();
      await Bun.sleep(700); // the monitor leaves by itself
      await bench[Symbol.asyncDispose]();
    });

    interface Options {
      readonly process?: Partial<Process>;
      readonly stdio?: Partial<StdioRequest>;
      readonly network?: LaunchRequest['network'];
    }
    const start = (args: readonly string[], options: Options = {}): Promise<RunningProcess> => {
      const stdio = { ...streams, ...options.stdio };
      const changes = { process: { terminal: stdio.tty, ...options.process } };
      const spec = specOf(args, changes);
      const resources = withDefaultDevices(spec.linux?.resources ?? {});
      count += 1;
      return driver.start({
        id: `${wanted.name}${process.pid}-${count}`,
        spec: { ...spec, linux: { ...spec.linux, resources } },
        rootfs: rootfsOfBundle(bench.rootfs).release(),
        stdio,
        beforeExec: async () => undefined,
        signal: new AbortController().signal,
        ...(options.network === undefined ? {} : { network: options.network }),
      });
    };
    const text = async (fd: number | undefined): Promise<string> => {
      const all = await new Response(Bun.file(fd ?? -1).stream()).text();
      close(fd ?? -1);
      return all;
    };

    test('output, exit code, and nothing stays', async () => {
      const container = await start(['sh', '-c', 'id -u; echo err >&2; exit 6'], {
        process: { user: { uid: 0, gid: 0, username: 'bob' } },
      });
      expect(await Promise.all([text(container.stdio.stdout), text(container.stdio.stderr)])).toEqual([
        '1000\n',
        'err\n',
      ]);
      expect(await container.exited).toMatchObject({ exitCode: 6, signal: 0, oomKilled: false });
      await driver.release(container.id);
      expect(fs.readdirSync(bench.at('exec/bundles'))).toEqual([]);
      expect(fs.readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${bench.directory}/exec`);
    }, 20_000);

    test('signals, exec, pids, pause and a restart of the daemon', async () => {
      const container = await start(['sh', '-c', 'trap "exit 3" TERM; echo up; while :; do sleep 0.05; done']);
      const executed = await driver.exec({
        id: `${container.id}-exec`,
        containerId: container.id,
        container,
        spec: specOf(['sh', '-c', 'hostname; exit 4'], { process: { cwd: '/etc' } }),
        stdio: streams,
        signal: new AbortController().signal,
      });
      expect(await text(executed.stdio.stdout)).toBe('berth\n');
      close(executed.stdio.stderr ?? -1);
      expect(await executed.exited).toMatchObject({ exitCode: 4 });
      await driver.release(executed.id);
      expect(driver.cgroupOf(container.id).pids()).toContain(container.pid);
      await driver.cgroupOf(container.id).freeze();
      await driver.cgroupOf(container.id).thaw();
      await driver.close();
      driver = open();
      const [restored] = await driver.restore();
      expect(restored?.id).toBe(container.id);
      await restored?.signal(15);
      expect(await restored?.exited).toMatchObject({ exitCode: 3 });
      for (const fd of [container.stdio.stdout, container.stdio.stderr, restored?.stdio.stdout, restored?.stdio.stderr])
        close(fd ?? -1);
      await driver.release(container.id);
    }, 30_000);

    test('a network namespace is configured from outside', async () => {
      let seen = '';
      const container = await start(['true'], {
        network: async ({ pid, netlink, namespace }) => {
          const own = fs.readlinkSync(`/proc/${pid}/ns/net`);
          seen = [
            own === fs.readlinkSync(`/proc/self/fd/${namespace}`),
            fs.readlinkSync(`/proc/self/fd/${netlink}`),
          ].join(' ');
        },
      });
      expect(seen).toMatch(/^true socket:\[/);
      expect((await container.exited).exitCode).toBe(0);
      for (const fd of [container.stdio.stdout, container.stdio.stderr]) close(fd ?? -1);
      await driver.release(container.id);
    }, 20_000);

    test('a terminal', async () => {
      const container = await start(['sh', '-c', 'stty size'], {
        stdio: { tty: true, consoleSize: [21, 43] },
      });
      await container.exited;
      expect(readTerminal(container.stdio.stdout ?? -1)).toBe('21 43\n');
      close(container.stdio.stdout ?? -1);
      await driver.release(container.id);
    }, 20_000);

    test('a program that is not there', async () => {
      expect(await failureOf(start(['nope']))).toMatchObject({ exitCode: 127 });
      expect(fs.readdirSync(bench.at('exec/bundles'))).toEqual([]);
    }, 20_000);
  });
