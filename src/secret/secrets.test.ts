import { afterEach, beforeEach, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { GraphDb } from '#graphdb/graphdb.ts';
import { Secrets } from './secrets.ts';

let dataRoot: string;
let db: GraphDb;
let secrets: Secrets;
beforeEach(() => {
  dataRoot = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-secrets-'));
  db = GraphDb.open(path.join(dataRoot, 'graph.db'));
  secrets = new Secrets({ dataRoot, db });
});
afterEach(() => {
  db[Symbol.dispose]();
  fs.rmSync(dataRoot, { recursive: true });
});

const create = (name: string, value: string, replace = false) =>
  secrets.create({ name, value: Buffer.from(value), labels: {}, replace });

test('what was sealed is revealed, and stands nowhere in the data root', () => {
  const { id } = create('token', 'swordfish-4711');
  expect(secrets.reveal('token').toString()).toBe('swordfish-4711');
  expect(secrets.resolve(id.slice(0, 10)).name).toBe('token');
  for (const file of fs.readdirSync(dataRoot, { recursive: true, encoding: 'utf8' })) {
    const place = path.join(dataRoot, file);
    if (!fs.statSync(place).isFile()) continue;
    const content = fs.readFileSync(place);
    for (const form of ['utf8', 'base64', 'hex'] as const) {
      expect(content.includes(Buffer.from('swordfish-4711').toString(form).replace(/=+$/, ''))).toBe(false);
    }
  }
  expect(fs.statSync(path.join(dataRoot, 'secrets/key')).mode & 0o777).toBe(0o600);
});

test('the same value twice is not the same twice', () => {
  expect(create('a1', 'same').sealed).not.toBe(create('b1', 'same').sealed);
});

test('a name is given once, unless it is replaced; bad names and sizes are refused', () => {
  create('one', 'x');
  expect(() => create('one', 'y')).toThrow('secret name in use: one');
  create('one', 'y', true);
  expect(secrets.reveal('one').toString()).toBe('y');
  for (const name of ['', 'a=b', 'a/b', 'a,b', '.x']) expect(() => create(name, 'x')).toThrow('secret name');
  expect(() => create('big', 'x'.repeat(512_001))).toThrow('secret data must be');
  expect(() => create('empty', '')).toThrow('secret data must be');
});

test('a value that was changed or exchanged, another key, and a missing key are told', () => {
  const { sealed } = create('one', 'first');
  const two = create('two', 'second');
  db.put('secret', 'two', { ...two, sealed });
  expect(() => secrets.reveal('two')).toThrow('Cannot decrypt secret "two"');
  const key = path.join(dataRoot, 'secrets/key');
  fs.writeFileSync(key, Buffer.alloc(32));
  expect(() => secrets.reveal('one')).toThrow('Cannot decrypt secret "one"');
  fs.rmSync(key);
  expect(() => secrets.reveal('one')).toThrow('is missing');
  expect(() => create('three', 'x')).toThrow('is missing');
});
