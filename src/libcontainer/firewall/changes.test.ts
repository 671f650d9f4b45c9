import { expect, test } from 'bun:test';
import { attribute, decodeMessages, encodeRequest, textAttribute } from '#libcontainer/netlink/codec.ts';
import { ForeignChanges } from './changes.ts';

const OURS = 42;
const nfgenmsg = Uint8Array.of(1, 0, 0, 0);
const message = (type: number, attributes: readonly Uint8Array[]) =>
  decodeMessages(encodeRequest({ name: '', type: 0xa00 | type, flags: 0, header: nfgenmsg, attributes }, 0));
const deleted = (what: number, table: string) => message(what, [textAttribute(1, table)]);
const end = (pid: number) => message(15, [attribute(2, Uint8Array.of(0, 0, 0, pid))]);
const [TABLE, CHAIN, RULE, SET, ELEMENT] = [2, 5, 8, 11, 14];
const NEW_RULE = 6;

test('a deletion of ours by another process is damage, at the end of its transaction', () => {
  for (const what of [TABLE, CHAIN, RULE, SET, ELEMENT]) {
    const changes = new ForeignChanges('berth', OURS);
    expect(changes.take(deleted(what ?? 0, 'berth'))).toBe(false);
    expect(changes.take(end(7))).toBe(true);
    expect(changes.take(end(7))).toBe(false);
  }
});

test('our own transactions, tables of others and additions are none', () => {
  const changes = new ForeignChanges('berth', OURS);
  expect(changes.take([...deleted(ELEMENT ?? 0, 'berth'), ...end(OURS)])).toBe(false);
  expect(changes.take([...deleted(TABLE ?? 0, 'berth-00ff00'), ...end(7)])).toBe(false);
  expect(changes.take([...message(NEW_RULE, [textAttribute(1, 'berth')]), ...end(7)])).toBe(false);
  expect(changes.take([])).toBe(false);
});
