/** A program that ends by itself within a moment, run and reaped on this thread. */
import { close, pipe2, readAll } from '../files.ts';
import { W } from '../numbers.ts';
import { waitid } from '../processes.ts';
import { Program, type StepFailure } from '../program.ts';
import { SysError } from '../errno.ts';
import { patchSources } from './launch.ts';
import { ARENA_BYTES, listMemfd, type Zygote, type ZygoteAnswer } from './zygote.ts';

const RECORD_BYTES = 16;

function askFor(zygote: Zygote, memfd: number, length: number): ZygoteAnswer {
  try {
    zygote.request(memfd, length);
    return zygote.waitAnswer();
  } finally {
    close(memfd);
  }
}

/** Undefined when every step went well (the last one must end the child). Blocks. */
export function runToEnd(zygote: Zygote, program: Program, cloneFlags: number): StepFailure | undefined {
  const { base } = zygote;
  const list = program.serialize(base, ARENA_BYTES, cloneFlags);
  const outcome = pipe2();
  try {
    patchSources(list.bytes, list, [outcome.write, ...list.descriptors]);
    const memfd = listMemfd(list.bytes);
    const { pid, pidfd } = askFor(zygote, memfd, list.bytes.length);
    if (pid < 0) throw new SysError('clone3', -pid);
    waitid(W.P_PIDFD, pidfd, 0);
    close(pidfd);
  } catch (error) {
    close(outcome.read);
    throw error;
  } finally {
    close(outcome.write);
  }
  const records = readAll(outcome.read);
  close(outcome.read);
  for (let at = 0; at + RECORD_BYTES <= records.length; at += RECORD_BYTES) {
    const view = new DataView(records.buffer, records.byteOffset + at, RECORD_BYTES);
    const report = program.report(view, Program.firstStepAddress(list, base));
    if (report.kind === 'failed') return report.failure;
  }
  return undefined;
}
