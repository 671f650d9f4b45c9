/** Jobs on the daemon itself. */
import type { EventMessage, SystemInfo, SystemVersion } from '#api/types/system.ts';
import { defineJob } from '#engine/engine.ts';
import type { Filters } from './container.ts';

export const systemInfo = defineJob<Record<string, never>, SystemInfo>('system.info');
export const systemVersion = defineJob<Record<string, never>, SystemVersion>('system.version');
export const systemEvents = defineJob<
  {
    /** Nanoseconds since the epoch; undefined: no bound. */
    since: bigint | undefined;
    until: bigint | undefined;
    filters: Filters;
    /** Called at once (the head goes out), then for each event; rejects to end. */
    accepted: () => void;
    emit: (events: readonly EventMessage[]) => Promise<void>;
  },
  void
>('system.events', { longLived: true });

/**
 * The system goes down: stops all running containers by their stop signals, in parallel, without marking them as
 * stopped by the user (restart policies act at the next boot). No restart happens afterwards in this daemon's life.
 */
export const systemShutdown = defineJob<Record<string, never>, void>('system.shutdown');
