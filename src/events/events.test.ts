import { describe, expect, test } from 'bun:test';
import type { EventMessage } from '#api/types/system.ts';
import type { LoggedEvent } from '#graphdb/graphdb.ts';
import { Events, type NewEvent } from './events.ts';
import { eventFilter } from './filter.ts';

function memoryLog() {
  const kept: LoggedEvent[] = [];
  return {
    kept,
    appendEvents: (events: readonly LoggedEvent[]) => void kept.push(...events),
    eventsBetween: (since: bigint | undefined, until: bigint | undefined) =>
      kept.filter((e) => e.timeNs >= (since ?? 0n) && e.timeNs <= (until ?? 1n << 62n)),
  };
}

const start: NewEvent = { type: 'container', action: 'start', id: 'abc', attributes: { image: 'box:1', name: 'web' } };

describe('events', () => {
  test('those of one turn are one delivery, in order, with strictly increasing times', async () => {
    let now = 5n;
    const events = new Events(memoryLog(), () => now++);
    const deliveries: string[][] = [];
    using _ = events.subscribe((list) => deliveries.push(list.map((e) => `${e.timeNs} ${e.message.Action}`)));
    events.publish(start);
    events.publish({ ...start, action: 'die' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(deliveries).toEqual([['5 start', '6 die']]);
  });

  test('history holds what was published a moment ago', () => {
    const events = new Events(memoryLog());
    events.publish(start);
    expect(events.between(undefined, undefined).map((e) => e.message.Actor.ID)).toEqual(['abc']);
    expect(events.between(0n, 1n)).toEqual([]);
  });

  test('a disk that is full does not keep listeners from hearing', () => {
    const full = memoryLog();
    const events = new Events({
      ...full,
      appendEvents: () => {
        throw new Error('full');
      },
    });
    let heard = 0;
    using _ = events.subscribe((list) => (heard += list.length));
    events.publish(start);
    events.flush();
    expect(heard).toBe(1);
  });

  test('a container event has the fields of old clients', () => {
    const events = new Events(memoryLog());
    events.publish(start);
    expect(events.between(undefined, undefined)[0]?.message).toMatchObject({
      status: 'start',
      id: 'abc',
      from: 'box:1',
      Type: 'container',
      Action: 'start',
      scope: 'local',
    });
  });
});

describe('what is kept', () => {
  test('every digit of the time, also when it comes back from the log', () => {
    const log = memoryLog();
    const at = 1_795_378_344_530_708_035n;
    const events = new Events(log, () => at);
    events.publish(start);
    events.flush();
    expect(JSON.stringify(log.kept[0]?.document)).not.toContain('timeNano');
    expect(events.between(undefined, undefined)[0]?.message.timeNano).toBe(at);
  });

  test('transient events are told and remembered for a while, in their order, but not written', () => {
    const log = memoryLog();
    let now = 1n;
    const events = new Events(log, () => now++);
    let heard = 0;
    using _ = events.subscribe((list) => (heard += list.length));
    events.publish(start);
    for (let i = 0; i < 300; i++) events.publish({ ...start, action: 'exec_die', transient: true });
    events.publish({ ...start, action: 'die' });
    const actions = events.between(undefined, undefined).map((e) => e.message.Action);
    expect(heard).toBe(302);
    expect(log.kept.length).toBe(2);
    expect([actions.at(0), actions.at(1), actions.at(-1), actions.length]).toEqual(['start', 'exec_die', 'die', 258]);
  });
});

describe('event filters', () => {
  const message: EventMessage = {
    Type: 'container',
    Action: 'exec_create: sh',
    Actor: { ID: 'abcdef', Attributes: { name: 'web', image: 'box:1', tier: 'front' } },
    scope: 'local',
    time: 1,
    timeNano: 1n,
  };
  const check = (filters: Record<string, string[]>): boolean => eventFilter(new Map(Object.entries(filters)))(message);
  test.each([
    [{}, true],
    [{ type: ['container'] }, true],
    [{ type: ['image', 'container'] }, true],
    [{ type: ['image'] }, false],
    [{ container: ['web'] }, true],
    [{ container: ['abc'] }, true],
    [{ container: ['we'] }, true],
    [{ container: ['eb'] }, false],
    [{ event: ['exec_create: sh'] }, true],
    [{ event: ['exec_create', 'di'] }, true],
    [{ event: ['start'] }, false],
    [{ scope: ['local'] }, true],
    [{ scope: ['swarm'] }, false],
    [{ plugin: ['web'] }, false],
    [{ image: ['box:1'] }, true],
    [{ image: ['box'] }, true],
    [{ image: ['box:2'] }, false],
    [{ event: ['exec_create'] }, true],
    [{ event: ['exec'] }, false],
    [{ label: ['tier=front'] }, true],
    [{ label: ['tier=front', 'other'] }, false],
    [{ volume: ['web'] }, false],
    [{ container: ['web'], event: ['die'] }, false],
  ] as [Record<string, string[]>, boolean][])('%p', (filters, expected) => {
    expect(check(filters)).toBe(expected);
  });
  test('an unknown key is refused', () => {
    expect(() => check({ nope: ['1'] })).toThrow("invalid filter 'nope'");
  });
});
