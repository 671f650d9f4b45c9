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

const nothing = { damaged: false, moved: false };

test('a deletion of ours by another process is damage, at the end of its transaction', () => {
  for (const what of [TABLE, CHAIN, RULE, SET, ELEMENT]) {
    const changes = new ForeignChanges('berth', OURS);
    expect(changes.take(deleted(what ?? 0, 'berth')).damaged).toBe(false);
    expect(changes.take(end(7))).toEqual({ damaged: true, moved: false });
    expect(changes.take(end(7)).damaged).toBe(false);
  }
});

test('our own transactions, tables of others and additions are none', () => {
  const changes = new ForeignChanges('berth', OURS);
  expect(changes.take([...deleted(ELEMENT ?? 0, 'berth'), ...end(OURS)])).toEqual(nothing);
  expect(changes.take([...deleted(TABLE ?? 0, 'berth-00ff00'), ...end(7)])).toEqual(nothing);
  expect(changes.take([...message(NEW_RULE, [textAttribute(1, 'berth')]), ...end(7)])).toEqual(nothing);
  expect(changes.take([])).toEqual(nothing);
});

test('chains of hooks and places of others are told, other chains and rules are not', () => {
  const changes = new ForeignChanges('berth', OURS, ['DOCKER-USER']);
  const chain = (table: string, name: string, ...more: Uint8Array[]) =>
    message(3, [textAttribute(1, table), textAttribute(3, name), ...more]);
  const hook = attribute(4, Uint8Array.of());
  const rule = (name: string) => message(8, [textAttribute(1, 'filter'), textAttribute(2, name)]);
  for (const one of [chain('filter', 'FORWARD', hook), chain('filter', 'DOCKER-USER'), rule('DOCKER-USER')]) {
    expect(changes.take([...one, ...end(7)])).toEqual({ damaged: false, moved: true });
    expect(changes.take([...one, ...end(OURS)])).toEqual(nothing);
  }
  for (const one of [chain('filter', 'OTHER'), chain('berth-00ff00', 'forward', hook), rule('FORWARD')]) {
    expect(changes.take([...one, ...end(7)])).toEqual(nothing);
  }
});

test('the socket that made a change tells whose it is; else the end of the transaction, which of others need not come', () => {
  const by = (port: number, messages: ReturnType<typeof message>) => messages.map((one) => ({ ...one, port }));
  const changes = new ForeignChanges('berth', OURS);
  expect(changes.take(by(77, deleted(TABLE ?? 0, 'berth')))).toEqual({ damaged: true, moved: false });
  expect(changes.take(by(OURS, deleted(TABLE ?? 0, 'berth')))).toEqual(nothing);
  expect(changes.isUndecided).toBe(false);
  expect(changes.take([...by(-5, deleted(RULE ?? 0, 'berth')), ...by(-6, deleted(RULE ?? 0, 'berth'))])).toEqual(
    nothing,
  );
  expect(changes.take(by(-5, end(OURS)))).toEqual(nothing);
  expect(changes.isUndecided).toBe(true);
  expect(changes.settle()).toEqual({ damaged: true, moved: false });
  expect(changes.isUndecided).toBe(false);
  expect(changes.settle()).toEqual(nothing);
});

test('what the DNS server has opened comes and goes without us', () => {
  const changes = new ForeignChanges('berth', OURS);
  const of = (set: string) => message(ELEMENT ?? 0, [textAttribute(1, 'berth'), textAttribute(2, set)]);
  expect(changes.take([...of('known4any'), ...end(7)])).toEqual(nothing);
  expect(changes.take([...of('pub4'), ...end(7)])).toEqual({ damaged: true, moved: false });
});
