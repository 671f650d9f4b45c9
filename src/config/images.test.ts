import { expect, test } from 'bun:test';
import { messageOf } from '#errdefs/errors.ts';
import { imageSettingsOf } from './images.ts';

test('what is not said', () => {
  expect(imageSettingsOf(undefined)).toEqual({
    budget: {
      sizeBytesMax: undefined,
      freeBytesMin: undefined,
      freeShareMin: undefined,
      ageMsMax: undefined,
      keepLast: 0,
    },
    trashMs: 0,
    policyFile: '',
    requireDigest: false,
    registriesFile: '',
    keepBlobs: true,
  });
});

test('budgets and durations', () => {
  const { budget, trashMs } = imageSettingsOf({
    budget: { 'max-size': '2gb', 'min-free': '10%', 'max-age': '720h', 'keep-last': 3 },
    trash: '24h',
  });
  expect(budget).toMatchObject({
    sizeBytesMax: 2 * 1024 ** 3,
    freeShareMin: 0.1,
    ageMsMax: 720 * 3_600_000,
    keepLast: 3,
  });
  expect(trashMs).toBe(86_400_000);
  expect(imageSettingsOf({ budget: { 'min-free': '5gb' } }).budget.freeBytesMin).toBe(5 * 1024 ** 3);
});

test.each([
  [{ polcy: '/x' }, 'no option "polcy"'],
  [{ policy: 'x' }, 'policy: "x"'],
  [{ budget: [] }, 'must be an object'],
  [{ budget: { 'max-size': 'much' } }, 'max-size: "much"'],
  [{ budget: { 'keep-last': -1 } }, 'keep-last: -1'],
  [{ trash: 'soon' }, 'trash: "soon"'],
  [{ 'require-digest': 'yes' }, 'require-digest: "yes"'],
])('%p is refused', (value, message) => {
  let error: unknown;
  try {
    imageSettingsOf(value);
  } catch (caught) {
    error = caught;
  }
  expect(messageOf(error)).toContain(message);
});
