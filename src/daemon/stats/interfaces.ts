/**
 * What a container's interfaces have carried, read from outside: /proc/PID/net/dev shows the network namespace of PID.
 * A process that is the same after the reading was the same during it, so a pid used again is noticed.
 */
import * as fs from 'node:fs';
import type { InterfaceStats } from '#api/types/stats.ts';
import { startTicks } from '#sys/processes.ts';

type Interfaces = Record<string, InterfaceStats<bigint>>;

/** Empty when the process has ended meanwhile. */
export function interfacesOf(process: { readonly pid: number; readonly startTicks: bigint }): Interfaces {
  let text: string;
  try {
    text = fs.readFileSync(`/proc/${process.pid}/net/dev`, 'utf8');
  } catch {
    return {};
  }
  return startTicks(process.pid) === process.startTicks ? parseNetDev(text) : {};
}

/** All but the loopback, as dockerd. */
export function parseNetDev(text: string): Interfaces {
  const found: Interfaces = {};
  for (const line of text.split('\n')) {
    const colon = line.lastIndexOf(':');
    const name = line.slice(0, colon).trim();
    const counts = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/);
    if (colon < 0 || name === 'lo' || counts.length < 16) continue;
    const at = (index: number): bigint => BigInt(counts[index] ?? '0');
    found[name] = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
  }
  return found;
}
