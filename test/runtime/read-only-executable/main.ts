/** Becomes the monitor's second life from a read-only mount and prints whether its own file lies on one. */
import { blockSignalsEverywhere } from '#execdriver/native/monitor/become-monitor.ts';
import { must } from '#sys/call.ts';
import { NR } from '#sys/numbers.ts';

const FLAGS_AT = 80;
const ST_RDONLY = 1n;

blockSignalsEverywhere(true);
const status = new Uint8Array(120);
must('statfs', NR.statfs, '/proc/self/exe', status);
console.log(JSON.stringify((new DataView(status.buffer).getBigInt64(FLAGS_AT, true) & ST_RDONLY) !== 0n));
