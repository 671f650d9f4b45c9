/**
 * `system_cpu_usage`: the time that all processors of the host have spent, on whatever. The kernel tells it in ticks of
 * 10 ms, too coarse for two samples 20 ms apart; so it is read once and goes on by the monotonic clock times the number
 * of processors, which is what the sum of all states is. It never goes back, also when processors come and go.
 */
import * as fs from 'node:fs';
import { parseList } from '#container/resources.ts';

/** USER_HZ is 100 on every architecture we run on. */
const NS_PER_TICK = 10_000_000n;
/** user, nice, system, idle, iowait, irq, softirq: what dockerd adds up. */
const STATES = 7;

export interface HostCpuReading {
  readonly systemNs: bigint;
  readonly online: number;
}

export class HostCpu {
  readonly #nowNs: () => bigint;
  readonly #readFile: (file: string) => string;
  #totalNs: bigint | undefined;
  #lastNs = 0n;

  constructor(
    nowNs: () => bigint = () => process.hrtime.bigint(),
    readFile: (file: string) => string = (file) => fs.readFileSync(file, 'utf8'),
  ) {
    this.#nowNs = nowNs;
    this.#readFile = readFile;
  }

  read(): HostCpuReading {
    const online = parseList(this.#readFile('/sys/devices/system/cpu/online').trim())?.size ?? 1;
    const now = this.#nowNs();
    if (this.#totalNs === undefined) this.#totalNs = hostTotalNs(this.#readFile('/proc/stat'));
    else this.#totalNs += (now - this.#lastNs) * BigInt(online);
    this.#lastNs = now;
    return { systemNs: this.#totalNs, online };
  }
}

/** From the first line of /proc/stat. */
export function hostTotalNs(stat: string): bigint {
  const words = (stat.split('\n', 1)[0] ?? '').split(/\s+/).slice(1, 1 + STATES);
  return words.reduce((sum, word) => sum + BigInt(word), 0n) * NS_PER_TICK;
}
