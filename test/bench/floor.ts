/**
 * What a container's start and end cost on this machine without client, daemon and records: libcontainer and the kernel
 * alone, one after the other. Beside it, figures of different machines and hours can be compared. A process of its own
 * (`bun floor.ts COUNT`), because it makes a zygote; prints the milliseconds as JSON.
 */
import { Bench, specOf } from '../integration/libcontainer/bench.ts';

const WARM_UPS = 30;

async function measure(count: number): Promise<number[]> {
  const samples: number[] = [];
  await using bench = new Bench();
  for (let i = -WARM_UPS; i < count; i++) {
    const started = performance.now();
    {
      await using container = bench.start(specOf(['true']));
      const { exitCode, error } = container.end();
      if (exitCode !== 0) throw error ?? new Error(`exit ${exitCode}`);
    }
    if (i >= 0) samples.push(performance.now() - started);
  }
  return samples;
}

/** By a process of its own; undefined where that fails (told). */
export async function measureFloor(count: number): Promise<number[] | undefined> {
  const child = Bun.spawn([process.execPath, import.meta.path, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) return undefined;
  const samples: unknown = JSON.parse(text);
  return Array.isArray(samples) ? samples.filter((one) => typeof one === 'number') : undefined;
}

if (import.meta.main) console.log(JSON.stringify(await measure(Number(process.argv[2] ?? 200))));
