/** `GET /events`: history, then what happens, in one order and without a gap. */
import type { EventMessage } from '#api/types/system.ts';
import type { Filters } from '#api/jobs/container.ts';
import type { Event } from '#events/events.ts';
import { eventFilter } from '#events/filter.ts';
import { unavailable } from '#errdefs/errors.ts';
import { nowNs } from '#pkg/clock/clock.ts';
import type { Services } from '../services.ts';

export interface EventsInput {
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  readonly filters: Filters;
  readonly accepted: () => void;
  readonly emit: (events: readonly EventMessage[]) => Promise<void>;
}

/** A client that reads more slowly than this many events come is let go. */
const BACKLOG_MAX = 10_000;

export async function streamEvents(
  services: Pick<Services, 'events'>,
  input: EventsInput,
  signal: AbortSignal,
): Promise<void> {
  const wanted = eventFilter(input.filters);
  const queue: Event[] = [];
  let wake: () => void = () => undefined;
  let overrun = false;
  // What is still pending belongs to the history; what comes from here on to the live part.
  // As dockerd: an end without a beginning asks for everything up to it.
  const noPast = input.since === undefined && input.until === undefined;
  const history = noPast ? [] : services.events.between(input.since, input.until);
  services.events.flush();
  using _ = services.events.subscribe((events) => {
    for (const event of events) if (wanted(event.message)) queue.push(event);
    overrun ||= queue.length > BACKLOG_MAX;
    wake();
  });
  const over = untilSignal(input.until, signal);
  over.addEventListener('abort', () => wake(), { once: true });
  input.accepted();
  const past = history.map((event) => event.message).filter((message) => wanted(message));
  if (past.length > 0) await input.emit(past);
  while (!over.aborted) {
    if (overrun) throw unavailable('events: the client reads too slowly');
    const events = queue.splice(0).filter((event) => input.until === undefined || event.timeNs <= input.until);
    if (events.length > 0) await input.emit(events.map((event) => event.message));
    else {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      if (queue.length === 0 && !over.aborted) await promise;
    }
  }
}

/** Aborts when the client has gone or `until` has passed. */
function untilSignal(until: bigint | undefined, signal: AbortSignal): AbortSignal {
  if (until === undefined) return signal;
  const leftMs = Number((until - nowNs()) / 1_000_000n);
  return leftMs <= 0
    ? AbortSignal.abort()
    : AbortSignal.any([signal, AbortSignal.timeout(Math.min(leftMs, 2 ** 31 - 1))]);
}
