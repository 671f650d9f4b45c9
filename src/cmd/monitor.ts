/**
 * berth-monitor: `monitor --exec-root DIR`. Started by berthd on demand, one per data root; says `ready` on stdout once it
 * listens, and ends when nothing runs and no daemon has been connected for ten seconds.
 */
import { unlinkSync, writeSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { becomeMonitor, blockSignalsEverywhere, lockExecRoot } from '#execdriver/native/monitor/become-monitor.ts';
import { ExitRecords } from '#execdriver/native/monitor/exit-records.ts';
import { Monitor } from '#execdriver/native/monitor/monitor.ts';
import { reluctantJit } from '#pkg/jit/jit.ts';
import { log } from '#pkg/log/log.ts';
import { call } from '#sys/call.ts';
import { close, open, setNonBlocking } from '#sys/files.ts';
import { NR, O } from '#sys/numbers.ts';
import { unixListen } from '#sys/sockets.ts';

const LONELY_MS = 10_000;

export function monitorMain(argv: readonly string[]): number {
  const { values } = parseArgs({
    args: [...argv],
    options: { 'exec-root': { type: 'string' }, 'lonely-ms': { type: 'string' } },
  });
  const execRoot = values['exec-root'];
  if (execRoot === undefined || !execRoot.startsWith('/')) {
    console.error('berth-monitor: --exec-root wants an absolute path');
    return 125;
  }
  blockSignalsEverywhere();
  const lock = lockExecRoot(`${execRoot}/monitor.lock`);
  if (lock === undefined) {
    writeSync(1, 'another\n');
    return 0;
  }
  reluctantJit();
  const signals = becomeMonitor();
  process.umask(0o177);
  const socketPath = `${execRoot}/monitor.sock`;
  removeStale(socketPath);
  const listener = unixListen(socketPath);
  setNonBlocking(listener);
  using records = new ExitRecords(`${execRoot}/exits`);
  const lonelyMs = values['lonely-ms'] === undefined ? LONELY_MS : Number(values['lonely-ms']);
  const monitor = new Monitor({ listener, signals, records, lonelyMs, now: Date.now });
  if (!monitor.hasOwnExecutable) log.warn('the kernel gives the zygote no executable of its own');
  sayReady();
  monitor.run();
  removeStale(socketPath);
  return 0;
}

/** Then stdout is nobody's: a pipe to a daemon that dies must not matter. */
function sayReady(): void {
  writeSync(1, 'ready\n');
  const nothing = open('/dev/null', O.RDWR);
  call(NR.dup3, nothing, 1, 0);
  close(nothing);
}

function removeStale(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Nothing was left behind.
  }
}

if (import.meta.main) process.exit(monitorMain(process.argv.slice(2)));
