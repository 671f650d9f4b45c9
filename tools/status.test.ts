import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { brokenProofs, proofs, routeKey, routesOfTheApi, STATUS_FILE, statusText } from './status.ts';

test('docs/status.md is what the tables say (bun tools/status.ts writes it)', () => {
  expect(fs.readFileSync(STATUS_FILE, 'utf8')).toBe(statusText());
});

test('every operation that works has a test that shows it, under that name', () => {
  const working = routesOfTheApi().filter((route) => route.handler !== undefined);
  expect(working.map(routeKey).filter((key) => proofs[key] === undefined)).toEqual([]);
  const keys = new Set(working.map(routeKey));
  expect(Object.keys(proofs).filter((key) => !keys.has(key))).toEqual([]);
  expect(brokenProofs()).toEqual([]);
});
