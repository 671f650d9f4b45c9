/** How long `_ping` takes while an engine works: the p50 and p99 of a request every few milliseconds. */
import type { Engine } from './engine.ts';
import type { Round } from './scenario.ts';

const PING_EVERY_MS = 2;

/** Records both while `work` runs; for engines whose socket is known. */
export async function pinged({ engine, recorder }: Round, what: string, work: () => Promise<void>): Promise<void> {
  if (engine.socket === undefined) return work();
  const stop = new AbortController();
  const latencies = ping(engine, stop.signal);
  try {
    await work();
  } finally {
    stop.abort();
  }
  const sorted = (await latencies).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  recorder.add(`GET _ping during ${what}: p50`, engine.name, at(0.5), 'ms');
  recorder.add(`GET _ping during ${what}: p99`, engine.name, at(0.99), 'ms');
}

async function ping(engine: Engine, signal: AbortSignal): Promise<number[]> {
  const latencies: number[] = [];
  while (!signal.aborted) {
    const started = performance.now();
    const response = await fetch('http://bench/_ping', { unix: engine.socket ?? '' });
    await response.text();
    latencies.push(performance.now() - started);
    await Bun.sleep(PING_EVERY_MS);
  }
  return latencies;
}
