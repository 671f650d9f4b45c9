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
}

export interface Event {
  readonly timeNs: bigint;
  readonly message: EventMessage;
}

type Listener = (events: readonly Event[]) => void;

export class Events {
  readonly #db: Pick<GraphDb, 'appendEvents' | 'eventsBetween'>;
  readonly #now: () => bigint;
  readonly #listeners = new Set<Listener>();
  #pending: Event[] = [];
  #scheduled = false;

  constructor(db: Pick<GraphDb, 'appendEvents' | 'eventsBetween'>, now: () => bigint = nowNs) {
    this.#db = db;
    this.#now = now;
  }

  publish(event: NewEvent): void {
    const timeNs = this.#now();
    this.#pending.push({ timeNs, message: messageOf(event, timeNs) });
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
    try {
      this.#db.appendEvents(events.map(({ timeNs, message }) => ({ timeNs, document: message })));
    } catch (error) {
      // A full disk must not stop containers from ending: the history has a hole, listeners still hear.
      log.error('events not kept', { count: events.length, err: error });
    }
    for (const listener of this.#listeners) listener(events);
  }

  subscribe(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** History with since ≤ time ≤ until, oldest first. */
  between(sinceNs: bigint | undefined, untilNs: bigint | undefined): Event[] {
    this.flush();
    return this.#db.eventsBetween(sinceNs, untilNs).map(({ timeNs, document }) => ({
      timeNs,
      // as: the log holds nothing but what `flush` wrote.
      message: document as EventMessage,
    }));
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
    timeNano: Number(timeNs),
  };
}
