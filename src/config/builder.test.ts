import { describe, expect, test } from 'bun:test';
import { builderSettingsOf } from './builder.ts';

describe('builder.gc', () => {
  test('on unless it is turned off, with rules of the size of the disk', () => {
    const { policies } = builderSettingsOf(undefined);
    expect(policies.map(({ all }) => all)).toEqual([false, false, false, true]);
    expect(policies[0]?.filters.get('type')).toContain('source.local');
    expect(policies[3]).toMatchObject({ reservedSpace: { percent: 10 }, minFreeSpace: { percent: 20 } });
    expect(builderSettingsOf({ gc: { enabled: false } }).policies).toEqual([]);
  });

  test('sizes for the standard rules, by new and old names and any case', () => {
    for (const gc of [{ defaultReservedSpace: '20GB' }, { DefaultKeepStorage: '20gb' }]) {
      expect(builderSettingsOf({ gc }).policies[2]?.reservedSpace).toEqual({ bytes: 20 * 2 ** 30 });
    }
    const gc = { defaultMaxUsedSpace: '1GB', defaultMinFreeSpace: '15%' };
    expect(builderSettingsOf({ gc }).policies[1]).toMatchObject({
      maxUsedSpace: { bytes: 2 ** 30 },
      minFreeSpace: { percent: 15 },
    });
  });

  test('own rules: filters in each spelling, age, sizes', () => {
    const policy = [
      { filter: ['unused-for=2h'], keepStorage: '10GB' },
      { filter: ['type==source.local,type==exec.cachemount'], keepDuration: '48h', maxUsedSpace: '512MB' },
      { filter: { 'unused-for': { '3h': true } }, all: true, reservedSpace: 0 },
      { keepDuration: 3600 },
    ];
    const { policies } = builderSettingsOf({ gc: { policy } });
    expect(policies.map(({ filters }) => Object.fromEntries(filters))).toEqual([
      { 'unused-for': ['2h'] },
      { type: ['source.local', 'exec.cachemount'], 'unused-for': ['48h'] },
      { 'unused-for': ['3h'] },
      { 'unused-for': ['3600s'] },
    ]);
    expect(policies.map(({ reservedSpace }) => reservedSpace)).toEqual([
      { bytes: 10 * 2 ** 30 },
      undefined,
      { bytes: 0 },
      undefined,
    ]);
  });

  test.each([
    [{ gc: { enabled: 'yes' } }, 'gc.enabled: "yes" must be true or false'],
    [{ gc: { polices: [] } }, 'gc has no member "polices"'],
    [{ gc: { policy: {} } }, 'gc.policy: {} must be a list'],
    [{ gc: { policy: [{ filter: ['nosuch=1'] }] } }, "invalid filter 'nosuch'"],
    [{ gc: { policy: [{ filter: ['until=1h', 'unused-for=2h'] }] } }, 'filters expect only one value: until'],
    [{ gc: { defaultReservedSpace: 'much' } }, 'defaultreservedspace: "much" is no size'],
    [{ gc: { policy: [{ keepDuration: 'long' }] } }, 'gc.policy: keepDuration: "long" is no duration'],
    [{ entitlements: { 'security-insecure': 1 } }, 'entitlements.security-insecure: 1 must be true or false'],
    [{ history: { maxEntries: -1 } }, 'history.maxEntries: -1 must be a number'],
  ])('%j is refused', (value, message) => {
    expect(() => builderSettingsOf(value)).toThrow(message);
  });
});

test('entitlements and history', () => {
  const given = { entitlements: { 'network-host': false }, history: { maxAge: '1h', maxEntries: 3 } };
  const { refusedEntitlements, history } = builderSettingsOf(given);
  expect([...refusedEntitlements]).toEqual(['network.host']);
  expect(history).toEqual({ entriesMax: 3, ageMsMax: 3_600_000 });
});
