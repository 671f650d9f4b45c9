import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { Demultiplexer } from '#pkg/stdcopy/stdcopy.ts';
import { compressFile } from '../compressed.ts';
import { INPUT, LogEncoder } from '../json-file/encoder.ts';
import { encodeReference, formatTime, type LogStream } from '../json-file/format.ts';
import { LogFile, replaceByPacked } from '../log-file.ts';
import { LogReader, type ReadLogsRequest } from '../read.ts';
import { CompactEncoder } from './encoder.ts';
import { nextSequence, recordBefore } from './search.ts';
import { OpenFile } from '../files.ts';

const second = 1_000_000_000n;
const start = 1_795_000_000n * second;

function place() {
  const dir = mkdtempSync(join(tmpdir(), 'berth-compact-'));
  return { dir, path: join(dir, 'log'), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

/** Encodes as the pump does: each write one chunk, what is unfinished before the next. */
class Writer {
  now = start;
  readonly #encoder = new LogEncoder(() => this.now);
  readonly #compact = new CompactEncoder(this.#encoder.u8, () => this.now);
  readonly #rest = new Map<LogStream, Uint8Array>();
  #sequence = 0;

  encode(stream: LogStream, bytes: Uint8Array, final = false, outputBytesMax = 1 << 30): Uint8Array[] {
    const { u8 } = this.#encoder;
    const input = Buffer.concat([this.#rest.get(stream) ?? new Uint8Array(0), bytes]);
    u8.set(input, INPUT);
    u8.fill(0x80, INPUT + input.length, INPUT + input.length + 8);
    const end = INPUT + input.length;
    const records: Uint8Array[] = [];
    let at = INPUT;
    for (;;) {
      const request = { stream, attrs: '', start: at, end, outputBytesMax, final, sequence: this.#sequence };
      const { consumed, output, lines = 0 } = this.#compact.encode(request);
      if (consumed === at) break;
      this.#sequence += lines;
      records.push(output.slice());
      at = consumed;
    }
    this.#rest.set(stream, u8.slice(at, end));
    return records;
  }
}

const request = (path: string, over: Partial<ReadLogsRequest> = {}): ReadLogsRequest => ({
  log: { driver: 'local', path, maxFiles: 5, attrs: '{"role":"web"}' },
  stdout: true,
  stderr: true,
  timestamps: false,
  details: false,
  frames: 'none',
  sinceNs: 0n,
  untilNs: 0n,
  tail: -1,
  follow: undefined,
  upTo: undefined,
  signal: new AbortController().signal,
  ...over,
});

async function read(path: string, over: Partial<ReadLogsRequest> = {}): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  await new LogReader().read(request(path, over), {
    write: (bytes) => {
      pieces.push(bytes.slice());
      return Promise.resolve();
    },
  });
  return Buffer.concat(pieces);
}
const text = async (path: string, over: Partial<ReadLogsRequest> = {}) => (await read(path, over)).toString();

const piece = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }).map((s) => new TextEncoder().encode(s)),
  fc.uint8Array({ maxLength: 60 }),
  fc.constantFrom('\n', '\r\n', '\n\n\n', 'é', '€', '😀').map((s) => Buffer.from(s)),
  fc.constantFrom(16_380, 16_383, 16_384, 16_387, 33_000).map((n) => Buffer.alloc(n, 'x')),
  fc.constantFrom(5461, 5462, 11_000).map((n) => Buffer.from('€'.repeat(n))),
);

describe('the compact format', () => {
  test('gives back every byte, and cuts lines where json-file does', async () => {
    using at = place();
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.integer({ min: 50, max: 100_000 }), async (all, max) => {
        const writer = new Writer();
        const input = Buffer.concat(all);
        const records = [
          ...all.flatMap((b) => writer.encode('stdout', b, false, max)),
          ...writer.encode('stdout', Buffer.alloc(0), true),
        ];
        writeFileSync(at.path, Buffer.concat(records));
        expect((await read(at.path)).equals(input)).toBe(true);
        const frames: string[] = [];
        new Demultiplexer((_, bytes) => void frames.push(Buffer.from(bytes).toString('hex'))).push(
          await read(at.path, { frames: 'line' }),
        );
        const reference = encodeReference(input, { stream: 'stdout', attrs: '', time: () => '', final: true }).text;
        expect(frames.length).toBe(reference === '' ? 0 : reference.trimEnd().split('\n').length);
      }),
      { numRuns: 60 },
    );
  }, 30_000);

  test('last lines, times, streams, attributes', async () => {
    using at = place();
    const writer = new Writer();
    const records: Uint8Array[] = [];
    for (let i = 0; i < 5; i++) {
      writer.now = start + BigInt(i) * second;
      records.push(...writer.encode('stdout', Buffer.from(`a${i}\nb${i}\nc${i}\n`)));
      records.push(...writer.encode('stderr', Buffer.from(`oops${i}\n`)));
    }
    writeFileSync(at.path, Buffer.concat(records));
    expect(await text(at.path, { tail: 2 })).toBe('c4\noops4\n');
    expect(await text(at.path, { tail: 6 })).toBe('c3\noops3\na4\nb4\nc4\noops4\n'.slice(0));
    expect(await text(at.path, { tail: 0 })).toBe('');
    expect(await text(at.path, { tail: 100, stderr: false })).toBe(
      [0, 1, 2, 3, 4].map((i) => `a${i}\nb${i}\nc${i}\n`).join(''),
    );
    const third = start + 2n * second;
    expect(await text(at.path, { sinceNs: third + 1n, untilNs: third + 2n })).toBe('b2\nc2\n');
    expect(await text(at.path, { sinceNs: start + 4n * second, tail: 9 })).toBe('a4\nb4\nc4\noops4\n');
    expect(await text(at.path, { timestamps: true, tail: 3, details: true, stderr: false })).toBe(
      `${formatTime(start + 4n * second + 1n)} role=web b4\n${formatTime(start + 4n * second + 2n)} role=web c4\n`,
    );
    using file = OpenFile.open(at.path);
    expect(nextSequence(file?.fd ?? -1, file?.size() ?? 0)).toBe(20);
  });

  test('damage is passed over', async () => {
    using at = place();
    const writer = new Writer();
    const good = (n: number) => Buffer.concat(writer.encode('stdout', Buffer.from(`line ${n}\n`)));
    writeFileSync(
      at.path,
      Buffer.concat([good(1), Buffer.from('BLg1 garbage'), good(2), good(3).subarray(0, 20), good(4)]),
    );
    expect(await text(at.path)).toBe('line 1\nline 2\nline 4\n');
    expect(await text(at.path, { tail: 2 })).toBe('line 2\nline 4\n');
    using file = OpenFile.open(at.path);
    expect(recordBefore(file?.fd ?? -1, 60)).toBeUndefined();
  });

  for (const driver of ['json-file', 'local'] as const) {
    test(`${driver}: compressed files are read like plain ones, also by a reader that has the plain one open`, async () => {
      using at = place();
      const target = { driver, path: at.path, maxSizeBytes: 400, maxFiles: 4, compress: true, attrs: '' };
      using log = new LogFile(target);
      const writer = new Writer();
      const json = new LogEncoder(() => writer.now);
      const put = (n: number) => {
        writer.now += second;
        const line = Buffer.from(`line ${n}\n`);
        if (driver === 'local') for (const record of writer.encode('stdout', line)) log.append(record);
        else {
          json.u8.set(line, INPUT);
          const how = {
            stream: 'stdout',
            attrs: '',
            start: INPUT,
            outputBytesMax: 1e6,
            final: false,
            sequence: 0,
          } as const;
          log.append(json.encode({ ...how, end: INPUT + line.length }).output);
        }
      };
      let n = 0;
      const rotate = async () => {
        for (let i = 0; i < 3; i++) put(n++);
        const ino = String(log.ino);
        log.rotate();
        const packed = `${at.path}.tmp`;
        const key = await compressFile(`${at.path}.1`, packed, driver === 'local' ? 'zst' : 'gz');
        replaceByPacked({ path: at.path, driver, maxFiles: 4, ino, packed, key });
      };
      const suffix = driver === 'local' ? 'zst' : 'gz';
      await rotate();
      expect(statSync(`${at.path}.1.${suffix}`).size).toBeGreaterThan(0);
      // It reads the newest, which is rotated and compressed under its hands.
      const ended = new AbortController();
      const seen: string[] = [];
      let more = () => {};
      put(n++);
      const over = { follow: { ended: ended.signal }, log: { ...target } };
      const following = new LogReader().read(request(at.path, over), {
        write: (bytes) => {
          seen.push(Buffer.from(bytes).toString());
          more();
          return Promise.resolve();
        },
      });
      const has = async (last: number) => {
        while (!seen.join('').includes(`line ${last}\n`)) await new Promise<void>((resolve) => (more = resolve));
      };
      await has(3);
      await rotate();
      put(n++);
      await has(7);
      ended.abort();
      await following;
      const expected = Array.from({ length: n }, (_, i) => `line ${i}\n`).join('');
      expect(seen.join('')).toBe(expected);
      const whole = { log: { ...target } };
      expect(await text(at.path, whole)).toBe(expected);
      expect(await text(at.path, { ...whole, tail: 3 })).toBe('line 5\nline 6\nline 7\n');
      expect(await text(at.path, { ...whole, sinceNs: start + 3n * second })).toBe(
        expected.slice('line 0\nline 1\n'.length),
      );
      await rotate();
      await rotate();
      expect(await text(at.path, whole)).not.toContain('line 0\n');
    });
  }
});
