import { expect, test } from 'bun:test';
import { messageOf } from '#errdefs/errors.ts';
import {
  backoffOf,
  checkExtensionLabels,
  DEFAULT_BACKOFF,
  HEALTH_ON_FAILURE_LABEL,
  healthOnFailureOf,
  parseBackoff,
  RESTART_BACKOFF_LABEL,
} from './extension-labels.ts';

test.each([
  ['1s', { ...DEFAULT_BACKOFF, firstMs: 1000 }],
  ['1s,max=30s,factor=3,reset=1m', { firstMs: 1000, maxMs: 30_000, factor: 3, resetMs: 60_000 }],
  ['2m', { ...DEFAULT_BACKOFF, firstMs: 120_000, maxMs: 120_000 }],
  ['10ms,factor=1.5', { ...DEFAULT_BACKOFF, firstMs: 10, factor: 1.5 }],
])('back-off %p', (text, expected) => expect(parseBackoff(text)).toEqual(expected));

test.each([['fast'], ['0s'], ['1s,max'], ['1s,factor=0'], ['1s,factor=-1'], ['1s,often=1'], ['']])(
  'back-off %p is refused by name',
  (text) => {
    let message = '';
    try {
      checkExtensionLabels({ [RESTART_BACKOFF_LABEL]: text });
    } catch (error) {
      message = messageOf(error);
    }
    expect(message).toStartWith(`invalid label ${RESTART_BACKOFF_LABEL}=${text}`);
  },
);

test('what an update says wins over the label; a label of an older daemon that cannot be read is dockerd’s default', () => {
  const labels = { [RESTART_BACKOFF_LABEL]: '1s,max=30s' };
  expect(backoffOf(labels, undefined)).toMatchObject({ firstMs: 1000, maxMs: 30_000 });
  expect(backoffOf(labels, { FirstMs: 50_000 })).toMatchObject({ firstMs: 50_000, maxMs: 50_000 });
  expect(backoffOf(labels, { SteadyAfterMs: 5 })).toMatchObject({ firstMs: 1000, resetMs: 5 });
  expect(backoffOf({ [RESTART_BACKOFF_LABEL]: '?' }, undefined)).toEqual(DEFAULT_BACKOFF);
});

test('actions of an unhealthy container', () => {
  expect(healthOnFailureOf({ [HEALTH_ON_FAILURE_LABEL]: 'kill' })).toBe('kill');
  expect(healthOnFailureOf({ [HEALTH_ON_FAILURE_LABEL]: 'explode' })).toBe('none');
  expect(healthOnFailureOf(null)).toBe('none');
  expect(() => checkExtensionLabels({ [HEALTH_ON_FAILURE_LABEL]: 'explode' })).toThrow('must be one of');
});
