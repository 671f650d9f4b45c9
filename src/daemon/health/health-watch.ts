/** Who watches the health of running containers, as the verbs of the daemon see it. */
import type { Health } from '#container/health.ts';
import type { ContainerRecord } from '#container/record.ts';
import type { LiveContainer } from '../container/live.ts';
import type { HealthStates } from './health-states.ts';

export interface HealthWatch {
  readonly states: HealthStates;
  /** What inspect shows; undefined for a container that has never been probed. */
  healthOf(record: Pick<ContainerRecord, 'id' | 'state'>): Health | undefined;
  /** `sinceStartMs` is 0 for one that has just been started; `restored`: state and schedule go on. */
  begin(
    record: ContainerRecord,
    live: LiveContainer,
    from: { readonly sinceStartMs: number; readonly restored: boolean },
  ): void;
  /** The container has ended. Idempotent. */
  end(id: string): void;
  /** The Healthcheck of a container has been changed: of a running one it counts from now, its state stays. */
  reconfigure(record: ContainerRecord): void;
  /** The daemon stops. */
  stop(): void;
}
