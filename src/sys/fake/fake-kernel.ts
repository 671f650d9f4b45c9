/**
 * A kernel for unit tests: every call succeeds with 0, or with a new descriptor number where it makes one; nothing real
 * happens. `answer` gives a call another result. What was asked is in `calls`, what is open in `ledger`.
 */
import type { SysArgument } from '../errno.ts';
import { F, NR } from '../numbers.ts';
import { OPENERS, PAIR_MAKERS, Recorder } from './ledger.ts';

const FIRST_DESCRIPTOR = 1000;
/** Calls that answer how many bytes they took. */
const TAKES_BYTES: ReadonlySet<number> = new Set([NR.write, NR.pwrite64, NR.sendto]);

export class FakeKernel extends Recorder {
  constructor(answer: (nr: number, args: readonly SysArgument[]) => number | undefined = () => undefined) {
    let next = FIRST_DESCRIPTOR;
    super((nr, args) => {
      const given = answer(nr, args);
      if (given !== undefined) return given;
      if (OPENERS.has(nr) || (nr === NR.fcntl && args[1] === F.DUPFD_CLOEXEC)) return next++;
      const pair = args[PAIR_MAKERS.get(nr) ?? -1];
      if (pair instanceof Uint8Array) {
        const view = new DataView(pair.buffer, pair.byteOffset);
        for (const at of [0, 4]) view.setInt32(at, next++, true);
      }
      return TAKES_BYTES.has(nr) ? Number(args[2]) : 0;
    });
  }
}
