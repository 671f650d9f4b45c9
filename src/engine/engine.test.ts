import { describe, expect, test } from 'bun:test';
import { invalidParameter } from '#errdefs/errors.ts';
import { defineJob, Engine } from './engine.ts';

const caller = { source: 'test' };
const add = defineJob<{ a: number; b: number }, number>('math.add');
const forever = defineJob<{ container: string }, void>('forever', { longLived: true });

function untilAborted(signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted')));
  return promise;
}

describe('engine', () => {
  test('runs a job and records who asked, what it worked on and how it ended', async () => {
    const engine = new Engine();
    engine.register(add, ({ a, b }) => a + b);
    expect(await engine.run(add, { a: 1, b: 2 }, { caller })).toBe(3);
    const [record] = engine.list();
    expect(record).toMatchObject({ name: 'math.add', status: 'done', caller, subject: '' });
    expect(record?.durationMs).toBeGreaterThanOrEqual(0);
  });

  test('a failure is the caller’s and is in the record', async () => {
    const engine = new Engine();
    engine.register(add, () => {
      throw invalidParameter('no sums today');
    });
    expect(engine.run(add, { a: 1, b: 2 }, { caller })).rejects.toThrow('no sums today');
    await Bun.sleep(0);
    expect(engine.list()[0]).toMatchObject({ status: 'failed', error: 'no sums today' });
  });

  test('a name has one handler', () => {
    const engine = new Engine();
    engine.register(add, () => 0);
    expect(() => engine.register(add, () => 1)).toThrow('it has a handler');
  });

  test('cancel aborts the running job only', async () => {
    const engine = new Engine();
    engine.register(forever, (_, ctx) => untilAborted(ctx.signal));
    const running = engine.run(forever, { container: 'abc' }, { caller });
    const [record] = engine.list();
    expect(record).toMatchObject({ status: 'running', subject: 'abc' });
    engine.cancel(record?.id ?? '');
    expect(running).rejects.toThrow('was cancelled');
    await running.catch(() => undefined);
    expect(engine.list()[0]?.status).toBe('cancelled');
    expect(() => engine.cancel(record?.id ?? '')).toThrow('it has ended');
    expect(() => engine.cancel('999')).toThrow('No such job: 999');
  });

  test('the asker’s signal reaches the job', async () => {
    const engine = new Engine();
    engine.register(forever, (_, ctx) => untilAborted(ctx.signal));
    const controller = new AbortController();
    const running = engine.run(forever, { container: 'abc' }, { caller, signal: controller.signal });
    controller.abort(new Error('client gone'));
    expect(running).rejects.toThrow('client gone');
    await running.catch(() => undefined);
  });

  test('drain refuses new jobs, ends long-lived ones and waits for the others', async () => {
    const engine = new Engine();
    const gate = Promise.withResolvers<number>();
    engine.register(forever, (_, ctx) => untilAborted(ctx.signal));
    engine.register(add, () => gate.promise);
    const follower = engine.run(forever, { container: 'abc' }, { caller }).catch((e: unknown) => String(e));
    const work = engine.run(add, { a: 1, b: 1 }, { caller });
    const drained = engine.drain(10_000);
    expect(engine.run(add, { a: 1, b: 1 }, { caller })).rejects.toThrow('shutting down');
    expect(await follower).toContain('shutting down');
    gate.resolve(7);
    await drained;
    expect(await work).toBe(7);
  });
});
