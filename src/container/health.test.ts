import { describe, expect, test } from 'bun:test';
import { messageOf } from '#errdefs/errors.ts';
import {
  afterProbe,
  type Health,
  healthPlanOf,
  nextProbeMs,
  outputText,
  type ProbeResult,
  probeTestOf,
  startHealth,
} from './health.ts';

const S = 1_000_000_000;
const plan = (change: Parameters<typeof healthPlanOf>[0] = {}) => {
  const made = healthPlanOf({ Test: ['CMD', 'true'], ...change });
  if (made === undefined) throw new Error('no plan');
  return made;
};
const result = (exitCode: number): ProbeResult => ({ start: 'a', end: 'b', exitCode, output: '' });
/** Codes one after the other, a second apart. */
const after = (codes: readonly number[], p = plan(), from: Health = startHealth(undefined)): Health =>
  codes.reduce((health, code, i) => afterProbe(health, result(code), p, i * 1000), from);

describe('what a Healthcheck asks for', () => {
  test.each([
    [undefined],
    [null],
    [{}],
    [{ Test: [] }],
    [{ Test: ['NONE'] }],
    [{ Test: ['CMD'] }],
    [{ Test: ['WHAT', 'x'] }],
    [{ Interval: S }],
  ])('%p: nothing', (config) => expect(healthPlanOf(config)).toBeUndefined());

  test('dockerd’s defaults, and 0 means them', () => {
    const defaults = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5000, retries: 3 };
    expect(plan()).toMatchObject(defaults);
    expect(plan({ Interval: 0, Timeout: 0, StartPeriod: 0, StartInterval: 0, Retries: 0 })).toMatchObject(defaults);
    expect(plan({ Interval: 2 * S, Retries: 7 })).toMatchObject({ intervalMs: 2000, retries: 7 });
  });

  test.each([
    [['CMD', 'a', 'b'], { kind: 'exec', command: ['a', 'b'], shell: false }],
    [['CMD-SHELL', 'a b'], { kind: 'exec', command: ['a b'], shell: true }],
    [['HTTP', 'http://127.0.0.1:8080/health'], { kind: 'http', url: 'http://127.0.0.1:8080/health' }],
    [['HTTP', '8080/x?y=1'], { kind: 'http', url: 'http://127.0.0.1:8080/x?y=1' }],
    [['HTTP', ':8080'], { kind: 'http', url: 'http://127.0.0.1:8080/' }],
    [['HTTP', 'http://[::1]/'], { kind: 'http', url: 'http://[::1]/' }],
    [['TCP', '80'], { kind: 'tcp', host: '127.0.0.1', port: 80 }],
    [['TCP', '[::1]:80'], { kind: 'tcp', host: '::1', port: 80 }],
    [['GRPC', '9000'], { kind: 'grpc', tls: false, host: '127.0.0.1', port: 9000, service: '' }],
    [['GRPC', 'grpcs://[::1]:9000'], { kind: 'grpc', tls: true, host: '::1', port: 9000, service: '' }],
    [['HTTP', 'https://127.0.0.1:8443/x'], { kind: 'http', url: 'https://127.0.0.1:8443/x' }],
    [['GRPC', '10.0.0.1:9000/a.b/C'], { kind: 'grpc', tls: false, host: '10.0.0.1', port: 9000, service: 'a.b/C' }],
    [['UNIX', '/run/x.sock'], { kind: 'unix', path: '/run/x.sock' }],
  ] as const)('%p', (words, expected) => expect(probeTestOf([...words])).toEqual(expected as never));

  test.each([
    [['HTTP', 'ftp://127.0.0.1/']],
    [['HTTP', 'http://example.org/']],
    [['HTTP']],
    [['TCP', '0']],
    [['TCP', '70000']],
    [['TCP', 'web:80']],
    [['TCP', '1', '2']],
    [['GRPC', '/service']],
    [['UNIX', 'relative']],
  ])('%p is refused by name', (words) => {
    try {
      probeTestOf(words);
    } catch (error) {
      expect(messageOf(error)).toStartWith(`invalid Healthcheck: ${words[0] ?? ''} "`);
      return;
    }
    throw new Error('was let through');
  });
});

describe('what a result makes of the health', () => {
  test.each([
    [[0], 'healthy', 0],
    [[1], 'starting', 1],
    [[1, 1], 'starting', 2],
    [[1, 1, 1], 'unhealthy', 3],
    [[1, 1, 1, 1], 'unhealthy', 4],
    [[0, 1, 1], 'healthy', 2],
    [[0, 1, -1, 137], 'unhealthy', 3],
    [[1, 1, 1, 0], 'healthy', 0],
    [[1, 1, 1, 0, 1], 'healthy', 1],
  ] as const)('%p → %s, %d', (codes, status, failingStreak) =>
    expect(after(codes)).toMatchObject({ status, failingStreak }),
  );

  test('in the start period failures do not count, until the first success', () => {
    const slow = plan({ StartPeriod: 3 * S, Retries: 1 });
    expect(after([1, 1, 1], slow)).toMatchObject({ status: 'starting', failingStreak: 0 });
    expect(after([1, 1, 1, 1], slow)).toMatchObject({ status: 'unhealthy', failingStreak: 1 });
    expect(after([0, 1], slow)).toMatchObject({ status: 'unhealthy', failingStreak: 1 });
  });

  test('the newest five results are kept, over a restart too', () => {
    const seven = after([0, 1, 2, 3, 4, 5, 6]);
    expect(seven.log.map((r) => r.exitCode)).toEqual([2, 3, 4, 5, 6]);
    expect(startHealth(seven)).toEqual({ status: 'starting', failingStreak: 0, log: seven.log });
  });
});

test('the start interval holds only while it starts, within the start period', () => {
  const p = plan({ Interval: 60 * S, StartInterval: 2 * S, StartPeriod: 30 * S });
  expect(nextProbeMs('starting', p, 0)).toBe(2000);
  expect(nextProbeMs('starting', p, 30_000)).toBe(60_000);
  expect(nextProbeMs('healthy', p, 0)).toBe(60_000);
  // Without a start period there is nothing to be faster in.
  expect(nextProbeMs('starting', plan({ StartInterval: S }), 0)).toBe(30_000);
});

test('output is cut, and made text', () => {
  expect(outputText(Buffer.from('a\xff', 'latin1'), false)).toBe('a\ufffd');
  expect(outputText(new Uint8Array(4096).fill(97), false)).toBe('a'.repeat(4096));
  expect(outputText(new Uint8Array(4096).fill(97), true)).toBe(`${'a'.repeat(4096)}...`);
  expect(outputText(new Uint8Array(5000).fill(97), false)).toBe(`${'a'.repeat(4096)}...`);
});
