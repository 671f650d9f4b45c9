/**
 * Who acts when a container is updated while it runs: health checks take a new healthcheck, logs new options. Listeners
 * are called after the change is recorded, in the container's queue, and cannot refuse it any more.
 */
import type { ContainerRecord } from '#container/record.ts';
import { log } from '#pkg/log/log.ts';

export interface ContainerChange {
  readonly before: Pick<ContainerRecord, 'config' | 'hostConfig' | 'revision' | 'restartBackoff'>;
  readonly record: ContainerRecord;
}

export class UpdateHooks {
  readonly #listeners = new Map<string, (change: ContainerChange) => void | Promise<void>>();

  /** `name` for the log. One listener a name. */
  add(name: string, listener: (change: ContainerChange) => void | Promise<void>): void {
    this.#listeners.set(name, listener);
  }

  async run(change: ContainerChange): Promise<void> {
    for (const [name, listener] of this.#listeners) {
      try {
        await listener(change);
      } catch (err) {
        log.error('an update did not reach all parts', { container: change.record.id, part: name, err });
      }
    }
  }
}
