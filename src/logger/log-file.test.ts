import { describe, expect, test } from 'bun:test';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogFile } from './log-file.ts';

function scratch() {
  const dir = mkdtempSync(join(tmpdir(), 'berth-log-'));
  return { dir, path: join(dir, 'json.log'), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

function contents(dir: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(dir)
      .sort()
      .map((name) => [name, readFileSync(join(dir, name), 'utf8')]),
  );
}

describe('LogFile', () => {
  test('keeps max-file files, the newest without a number', () => {
    using place = scratch();
    using log = new LogFile({
      driver: 'json-file',
      path: place.path,
      maxSizeBytes: 4,
      maxFiles: 3,
      compress: false,
      attrs: '',
    });
    for (const line of ['1', '2', '3', '4', '5']) {
      log.append(Buffer.from(`${line}xxx`));
      expect(log.room).toBe(0);
      log.rotate();
    }
    log.append(Buffer.from('6'));
    expect(contents(place.dir)).toEqual({ 'json.log': '6', 'json.log.1': '5xxx', 'json.log.2': '4xxx' });
  });

  test('with one file the old one is gone', () => {
    using place = scratch();
    using log = new LogFile({
      driver: 'json-file',
      path: place.path,
      maxSizeBytes: 4,
      maxFiles: 1,
      compress: false,
      attrs: '',
    });
    log.append(Buffer.from('old'));
    log.rotate();
    log.append(Buffer.from('new'));
    expect(contents(place.dir)).toEqual({ 'json.log': 'new' });
  });

  test('an interrupted rotation is finished without losing a file', () => {
    using place = scratch();
    const target = {
      driver: 'json-file',
      path: place.path,
      maxSizeBytes: 1,
      maxFiles: 4,
      compress: false,
      attrs: '',
    } as const;
    {
      using log = new LogFile(target);
      for (const line of ['1', '2']) {
        log.append(Buffer.from(line));
        log.rotate();
      }
      log.append(Buffer.from('3'));
    }
    renameSync(`${place.path}.2`, `${place.path}.3`);
    renameSync(`${place.path}.1`, `${place.path}.2`);
    using log = new LogFile(target);
    log.rotate();
    expect(contents(place.dir)).toEqual({ 'json.log': '', 'json.log.1': '3', 'json.log.2': '2', 'json.log.3': '1' });
  });

  test('cut takes back, and never makes the file longer', () => {
    using place = scratch();
    using log = new LogFile({
      driver: 'json-file',
      path: place.path,
      maxSizeBytes: -1,
      maxFiles: 1,
      compress: false,
      attrs: '',
    });
    log.append(Buffer.from('abcdef'));
    log.cut(2);
    log.cut(100);
    log.append(Buffer.from('X'));
    expect(contents(place.dir)).toEqual({ 'json.log': 'abX' });
    expect(log.size).toBe(3);
  });
});
