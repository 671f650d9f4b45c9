/**
 * Undo for operations of several steps. Register the undo directly under the step that made the thing; call `commit`
 * once, last. Undo runs in reverse, each step bounded by its own limit, never with the caller's AbortSignal (it is
 * already aborted when undo runs). A failing undo is reported and does not hide the first error, which is why this is
 * not AsyncDisposableStack (that throws SuppressedError whose `.suppressed` is the real error).
 */
export interface RollbackOptions {
  /** Where a failing undo is told. */
  readonly onUndoFailed?: (step: string, error: unknown) => void;
  /** Limit of one undo step, milliseconds. */
  readonly stepLimitMs?: number;
}

interface Undo {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

const STEP_LIMIT_MS = 10_000;

export class Rollback implements AsyncDisposable {
  readonly #undos: Undo[] = [];
  readonly #options: RollbackOptions;
  #committed = false;

  constructor(options: RollbackOptions = {}) {
    this.#options = options;
  }

  /** Registers an undo; it must be idempotent. */
  defer(name: string, run: () => void | Promise<void>): void {
    this.#undos.push({ name, run });
  }

  /** The operation has succeeded: nothing is undone. */
  commit(): void {
    this.#committed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#committed) return;
    for (const undo of this.#undos.reverse()) {
      const { promise: limit, reject } = Promise.withResolvers<never>();
      const ms = this.#options.stepLimitMs ?? STEP_LIMIT_MS;
      const timer = setTimeout(() => reject(new Error(`undo "${undo.name}" took longer than ${ms} ms`)), ms);
      try {
        await Promise.race([(async () => undo.run())(), limit]);
      } catch (error) {
        this.#options.onUndoFailed?.(undo.name, error);
      } finally {
        clearTimeout(timer);
      }
    }
  }
}
