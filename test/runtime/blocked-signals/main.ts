/** Prints, after becoming the monitor's second life, the signal mask of each of its threads. */
import { readdirSync, readFileSync } from 'node:fs';
import { blockSignalsEverywhere } from '#execdriver/native/monitor/become-monitor.ts';

blockSignalsEverywhere();
Bun.gc(true);
const masks = readdirSync('/proc/self/task').map((thread) => {
  const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
  return /^SigBlk:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '';
});
console.log(JSON.stringify(masks));
