import { expect, test } from 'bun:test';
import { type SpareOptions, Spares } from './spares.ts';

/** Time goes on, and what was planned is done, when the test says so. */
class Clock implements Required<SpareOptions> {
  ms = 0;
  readonly now = (): number => this.ms;
  readonly #planned: { at: number; work: () => void }[] = [];
  readonly later = (work: () => void, ms: number): void => {
    this.#planned.push({ at: this.ms + ms, work });
  };

  pass(ms: number): void {
    this.ms += ms;
    for (const due of this.#planned.filter(({ at }) => at <= this.ms)) {
      this.#planned.splice(this.#planned.indexOf(due), 1);
      due.work();
    }
  }

  get planned(): number {
    return this.#planned.length;
  }
}

/** Things that are counted: what was made, and what is still there. */
class Things {
  readonly made: string[] = [];
  readonly alive = new Set<object>();
  readonly drop = (one: object): void => {
    expect(this.alive.delete(one)).toBe(true);
  };

  maker(key: string) {
    return (): object => {
      this.made.push(key);
      const one = { key };
      this.alive.add(one);
      return one;
    };
  }
}

test('one is made when it is needed, the next ahead, and each is given away once', () => {
  const clock = new Clock();
  const things = new Things();
  const spares = new Spares(things.drop, clock);
  const first = spares.take('dev', things.maker('dev'));
  expect([things.made, clock.planned]).toEqual([['dev'], 1]);
  clock.pass(1_000);
  expect(things.made).toEqual(['dev', 'dev']);
  const second = spares.take('dev', things.maker('dev'));
  expect(things.made.length).toBe(2);
  // Two at once: the one finds the spare, the other makes its own.
  const third = spares.take('dev', things.maker('dev'));
  expect([things.made.length, new Set([first, second, third]).size]).toEqual([3, 3]);
  for (const one of [first, second, third]) things.drop(one);
  clock.pass(1_000);
  expect(things.alive.size).toBe(1);
  spares[Symbol.dispose]();
  clock.pass(100_000);
  expect(things.alive.size).toBe(0);
});

test('unused ones go after a while, and then nothing is planned any more', () => {
  const clock = new Clock();
  const things = new Things();
  const spares = new Spares(things.drop, clock);
  things.drop(spares.take('a', things.maker('a')));
  clock.pass(1_000);
  things.drop(spares.take('b', things.maker('b')));
  for (let i = 0; i < 30; i++) clock.pass(1_000);
  expect([things.made.toSorted(), clock.planned, things.alive.size]).toEqual([['a', 'a', 'b', 'b'], 0, 0]);
  things.drop(spares.take('a', things.maker('a')));
  expect(things.made.length).toBe(5);
});

test('kinds are few: the one not taken for longest goes', () => {
  const clock = new Clock();
  const things = new Things();
  const spares = new Spares(things.drop, clock);
  for (let i = 0; i < 40; i++) {
    things.drop(spares.take(`size ${i}`, things.maker('x')));
    clock.pass(100);
  }
  expect(things.alive.size).toBeLessThanOrEqual(16);
  spares[Symbol.dispose]();
  expect(things.alive.size).toBe(0);
});

test('one that cannot be made ahead is made, or fails, when it is needed', () => {
  const clock = new Clock();
  const things = new Things();
  let broken = false;
  const make = () => {
    if (broken) throw new Error('no room');
    return things.maker('x')();
  };
  using spares = new Spares(things.drop, clock);
  things.drop(spares.take('x', make));
  broken = true;
  clock.pass(1_000);
  expect(() => spares.take('x', make)).toThrow('no room');
  broken = false;
  things.drop(spares.take('x', make));
});
