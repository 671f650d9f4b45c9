/**
 * `npm run bench -- --only oci`: `berth oci run` of a bundle beside runc and crun, in turns, with the processor time of
 * all processes: on a machine that others use as well it says more than the wall. crun refuses a cgroup2 mount beside v1
 * ones, so everything runs in a mount namespace of its own without it.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { Recorder } from './recorder.ts';

const BUSYBOX = '/bin/busybox';
const HYBRID = '/sys/fs/cgroup/unified';
const INSIDE = 'BERTH_BENCH_INSIDE';
const WARM_UPS = 3;

interface Runtime {
  readonly name: string;
  readonly command: readonly string[];
}

/** Runs this program again without the hybrid mount, with `args`; its exit code, or undefined when that is not needed. */
export async function rerunWithoutHybrid(args: readonly string[]): Promise<number | undefined> {
  if (process.env[INSIDE] !== undefined || !fs.existsSync(`${HYBRID}/cgroup.procs`)) return undefined;
  const script = `umount ${HYBRID} && exec "$@"`;
  const again = Bun.spawn(['unshare', '-m', 'sh', '-c', script, 'sh', process.execPath, Bun.main, ...args], {
    stdio: ['inherit', 'inherit', 'inherit'],
    env: { ...process.env, [INSIDE]: '1' },
  });
  return again.exited;
}

function makeBundle(berth: readonly string[]): string {
  const bundle = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-bench-'));
  for (const directory of ['bin', 'dev', 'proc', 'sys'])
    fs.mkdirSync(`${bundle}/rootfs/${directory}`, { recursive: true });
  fs.copyFileSync(BUSYBOX, `${bundle}/rootfs/bin/busybox`);
  fs.symlinkSync('busybox', `${bundle}/rootfs/bin/true`);
  const made = Bun.spawnSync([...berth, 'spec', '--bundle', bundle], { stderr: 'inherit' });
  if (made.exitCode !== 0) throw new Error('cannot make a bundle');
  const file = `${bundle}/config.json`;
  const spec: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
  if (typeof spec !== 'object' || spec === null || !('process' in spec)) throw new Error('no spec was made');
  const run = { ...(spec.process as object), args: ['true'], terminal: false }; // our own default spec: an object
  // Debian's crun knows no later version.
  fs.writeFileSync(file, JSON.stringify({ ...spec, ociVersion: '1.0.2', process: run }));
  return bundle;
}

export async function measureOci(berth: readonly string[], rounds: number): Promise<Recorder> {
  const bundle = makeBundle(berth);
  const runtimes: Runtime[] = [
    { name: 'berth', command: berth },
    ...['runc', 'crun'].filter((name) => Bun.which(name) !== null).map((name) => ({ name, command: [name] })),
  ];
  const recorder = new Recorder();
  try {
    for (let round = -WARM_UPS; round < rounds; round++) {
      recorder.recording = round >= 0;
      const turn = Math.abs(round) % runtimes.length;
      for (const { name, command } of [...runtimes.slice(turn), ...runtimes.slice(0, turn)]) {
        const started = performance.now();
        const child = Bun.spawn(
          [...command, 'run', '--bundle', bundle, `berth-bench-${process.pid}-${round + WARM_UPS}`],
          {
            stdio: ['ignore', 'ignore', 'inherit'],
          },
        );
        const code = await child.exited;
        recorder.add('oci run true', name, performance.now() - started, 'ms');
        const microseconds = child.resourceUsage()?.cpuTime.total ?? 0n;
        recorder.add('oci run true: processor time', name, Number(microseconds) / 1000, 'ms');
        if (code !== 0) recorder.fail(name, `oci: exit ${code}`);
      }
    }
  } finally {
    fs.rmSync(bundle, { recursive: true });
  }
  return recorder;
}
