/**
 * A ledger of what system calls made and took away, and failures on order. `Recorder` stands before the real kernel: for
 * every operation with a rollback, count its calls, then let the k-th fail and see that the ledger is empty.
 */
import { errnoNumber, type SysArgument } from '../errno.ts';
import { interpose } from '../call.ts';
import { F, NR, syscallName } from '../numbers.ts';

export interface RecordedCall {
  readonly name: string;
  readonly args: readonly SysArgument[];
  /** Result or -errno. */
  readonly result: number;
}

/** Calls whose result is a new descriptor. */
export const OPENERS: ReadonlySet<number> = new Set([
  NR.openat,
  NR.openat2,
  NR.dup,
  NR.memfd_create,
  NR.socket,
  NR.accept4,
  NR.epoll_create1,
  NR.eventfd2,
  NR.signalfd4,
  NR.pidfd_open,
  NR.pidfd_getfd,
  NR.open_tree,
  NR.fsopen,
  NR.fsmount,
]);
/** Calls that fill a pair of descriptors, and which argument that is. */
export const PAIR_MAKERS: ReadonlyMap<number, number> = new Map([
  [NR.pipe2, 0],
  [NR.socketpair, 3],
]);

/** Live descriptors by the call that made them. */
export class Ledger {
  readonly #live = new Map<number, string>();

  note(nr: number, args: readonly SysArgument[], result: number): void {
    if (nr === NR.close && typeof args[0] === 'number') this.#live.delete(args[0]);
    if (result < 0) return;
    const pairAt = PAIR_MAKERS.get(nr);
    if (OPENERS.has(nr) || (nr === NR.fcntl && args[1] === F.DUPFD_CLOEXEC)) this.#live.set(result, syscallName(nr));
    const pair = pairAt === undefined ? undefined : args[pairAt];
    if (pair instanceof Uint8Array) {
      const view = new DataView(pair.buffer, pair.byteOffset);
      for (const at of [0, 4]) this.#live.set(view.getInt32(at, true), syscallName(nr));
    }
  }

  /** What is open and was opened since recording began. */
  live(): { readonly fd: number; readonly by: string }[] {
    return [...this.#live].map(([fd, by]) => ({ fd, by }));
  }
}

interface Order {
  readonly name: string | undefined;
  readonly except: ReadonlySet<string>;
  left: number;
  readonly errno: number;
}

/** Who answers: the real kernel, or `FakeKernel`. */
export type Answerer = (nr: number, args: readonly SysArgument[], proceed: () => number) => number;

/** Records calls until it is disposed; one at a time. */
export class Recorder implements Disposable {
  readonly calls: RecordedCall[] = [];
  readonly ledger = new Ledger();
  readonly #orders: Order[] = [];
  readonly #hook: Disposable;

  constructor(answer: Answerer = (_, __, proceed) => proceed()) {
    this.#hook = interpose((nr, args, proceed) => {
      const result = this.#ordered(nr) ?? answer(nr, args, proceed);
      this.calls.push({ name: syscallName(nr), args, result });
      this.ledger.note(nr, args, result);
      return result;
    });
  }

  /** Lets the n-th call of `name` from now on fail ('mount', 1, 'EBUSY'). */
  failOn(name: string, n: number, code: string): void {
    this.#orders.push({ name, except: new Set(), left: n, errno: errnoNumber(code) });
  }

  /** Lets the k-th call of any kind fail, close left out (what is undone must be able to close) and `except`. */
  failAt(k: number, code = 'EIO', except: ReadonlySet<string> = new Set(['close'])): void {
    this.#orders.push({ name: undefined, except, left: k, errno: errnoNumber(code) });
  }

  #ordered(nr: number): number | undefined {
    let result: number | undefined;
    const name = syscallName(nr);
    for (const order of this.#orders) {
      if (order.name === undefined ? order.except.has(name) : order.name !== name) continue;
      order.left -= 1;
      if (order.left === 0) result ??= -order.errno;
    }
    return result;
  }

  [Symbol.dispose](): void {
    this.#hook[Symbol.dispose]();
  }
}
