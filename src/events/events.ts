/**
 * What happened in the daemon: published once, kept in graphdb's log, told to whoever listens. Publishing never waits:
 * the events of one turn of the loop are one transaction and one delivery, in order. History and live events meet
 * without a gap: `subscribe` delivers what is published after it, `between` what was published before.
 */
import type { EventMessage, EventType } from '#api/types/system.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { nowNs } from '#pkg/clock/clock.ts';
import { log } from '#pkg/log/log.ts';

export interface NewEvent {
  readonly type: EventType;
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
  /**
   * One of many of the same kind that come for ever (a health probe's): told to whoever listens and kept for a while in
   * memory, but not on the disk, where it would push out what matters.
   */
  readonly transient?: boolean;
}

export interface Event {
  readonly timeNs: bigint;
  readonly message: EventMessage;
}

interface Pending extends Event {
  readonly transient: boolean;
}

type Listener = (events: readonly Event[]) => void;

/** Of the transient events: as many as dockerd keeps of all. */
const TRANSIENT_MAX = 256;

export class Events {
  readonly #db: Pick<GraphDb, 'appendEvents' | 'eventsBetween'>;
  readonly #now: () => bigint;
  readonly #listeners = new Set<Listener>();
  readonly #transient: Event[] = [];
  #pending: Pending[] = [];
  #scheduled = false;

  constructor(db: Pick<GraphDb, 'appendEvents' | 'eventsBetween'>, now: () => bigint = nowNs) {
    this.#db = db;
    this.#now = now;
  }

  publish(event: NewEvent): void {
    const timeNs = this.#now();
    this.#pending.push({ timeNs, message: messageOf(event, timeNs), transient: event.transient === true });
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.flush());
  }

  /** Writes and delivers what is pending, now. */
  flush(): void {
    this.#scheduled = false;
    const events = this.#pending;
    if (events.length === 0) return;
    this.#pending = [];
    const kept = events.filter((event) => !event.transient);
    if (kept.length < events.length) this.#keepTransient(events.filter((event) => event.transient));
    try {
      if (kept.length > 0)
        this.#db.appendEvents(
          kept.map(({ timeNs, message }) => ({
            timeNs, // The exact time has a column of its own: a number of JSON would round it.
            document: { ...message, timeNano: undefined },
          })),
        );
    } catch (error) {
      // A full disk must not stop containers from ending: the history has a hole, listeners still hear.
      log.error('events not kept', { count: kept.length, err: error });
    }
    for (const listener of this.#listeners) listener(events);
  }

  #keepTransient(events: readonly Event[]): void {
    this.#transient.push(...events);
    if (this.#transient.length > TRANSIENT_MAX) this.#transient.splice(0, this.#transient.length - TRANSIENT_MAX);
  }

  subscribe(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** History with since ≤ time ≤ until, oldest first. */
  between(sinceNs: bigint | undefined, untilNs: bigint | undefined): Event[] {
    this.flush();
    const kept: Event[] = this.#db.eventsBetween(sinceNs, untilNs).map(({ timeNs, document }) => ({
      timeNs,
      // as: the log holds nothing but what `flush` wrote; the exact time has a column of its own.
      message: { ...(document as Omit<EventMessage, 'timeNano'>), timeNano: timeNs },
    }));
    const recent = this.#transient.filter(
      ({ timeNs }) => timeNs >= (sinceNs ?? 0n) && (untilNs === undefined || timeNs <= untilNs),
    );
    if (recent.length === 0) return kept;
    return [...kept, ...recent].sort((a, b) => (a.timeNs < b.timeNs ? -1 : 1));
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }
}

function messageOf(event: NewEvent, timeNs: bigint): EventMessage {
  const { type, action, id } = event;
  const from = event.attributes['image'];
  const legacy = type === 'container' ? { status: action, id, ...(from === undefined ? {} : { from }) } : {};
  const legacyImage = type === 'image' ? { status: action, id } : {};
  return {
    ...legacy,
    ...legacyImage,
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: { ...event.attributes } },
    scope: 'local',
    time: Number(timeNs / 1_000_000_000n),
    timeNano: timeNs,
  };
}
