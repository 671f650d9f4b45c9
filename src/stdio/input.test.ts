import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { closeSync, mkdtempSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '#api/jobs/streams.ts';
import { LogReader } from '#logger/read.ts';
import { close, pipe2 } from '#sys/files.ts';
import { copyInput } from './input.ts';
import { Pump } from './pump.ts';
import { attachWithLogs } from './replay.ts';

let root = '';
let pump: Pump;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'berth-input-'));
  pump = await Pump.start({ execRoot: root });
});
afterAll(async () => {
  await pump.close();
  rmSync(root, { recursive: true });
});

const keys = Uint8Array.of(16, 17);
const never = new AbortController().signal;

async function* chunks(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text);
}

function request(over: Partial<Parameters<typeof copyInput>[0]> & { fd: number }) {
  return {
    source: chunks(),
    detachKeys: undefined,
    whenWritable: (fd: number) => pump.whenWritable(fd),
    signal: never,
    ...over,
  };
}

function textOf(fd: number): string {
  const buffer = Buffer.alloc(65_536);
  return buffer.subarray(0, readSync(fd, buffer)).toString();
}

describe('copyInput', () => {
  test('a reader that is slow holds the client back, and gets all of it', async () => {
    const pipe = pipe2();
    const text = 'x'.repeat(3_000_000);
    const copied = copyInput(request({ fd: pipe.write, source: chunks(text, 'end') })).then((end) => {
      close(pipe.write);
      return end;
    });
    let got = '';
    for await (const part of Bun.file(pipe.read).stream()) got += Buffer.from(part).toString();
    close(pipe.read);
    expect(await copied).toBe('ended');
    expect(got === `${text}end`).toBe(true);
  });

  test('detach keys, held back and cut in two', async () => {
    const pipe = pipe2();
    const source = chunks('ab\x10', 'c\x10', '\x11never');
    expect(await copyInput(request({ fd: pipe.write, source, detachKeys: keys }))).toBe('detached');
    expect(textOf(pipe.read)).toBe('ab\x10c');
    close(pipe.read);
    close(pipe.write);
  });

  test('without keys the bytes of the sequence are input', async () => {
    const pipe = pipe2();
    expect(await copyInput(request({ fd: pipe.write, source: chunks('\x10\x11') }))).toBe('ended');
    expect(textOf(pipe.read)).toBe('\x10\x11');
    close(pipe.read);
    close(pipe.write);
  });

  test('a process that has closed its stdin does not end the look-out for the keys', async () => {
    const pipe = pipe2();
    close(pipe.read);
    const source = chunks('a', 'b', '\x10\x11');
    expect(await copyInput(request({ fd: pipe.write, source, detachKeys: keys }))).toBe('detached');
    close(pipe.write);
  });

  test('stops in the middle of waiting, for the client or for the process', async () => {
    for (const source of [chunks('x'.repeat(3_000_000)), new ReadableStream<Uint8Array>()]) {
      const pipe = pipe2();
      const stop = new AbortController();
      const copied = copyInput(request({ fd: pipe.write, source, signal: stop.signal }));
      await new Promise((resolve) => setImmediate(resolve));
      stop.abort();
      expect(await copied).toBe('stopped');
      close(pipe.read);
      close(pipe.write);
    }
  });
});

test('attachWithLogs gives every byte once, also of a line that was begun', async () => {
  const path = join(root, 'replay.log');
  const log = { driver: 'json-file', path, maxSizeBytes: 40_000, maxFiles: 5, compress: false, attrs: '' } as const;
  const pipe = pipe2();
  const output = pump.open('replay', { tty: true, log });
  output.start({ stdout: pipe.read });
  const expected: string[] = [];
  const say = (text: string) => {
    expected.push(text);
    writeSync(pipe.write, text);
  };
  for (let i = 0; i < 300; i++) say(`line ${i} ${'x'.repeat(i)}\n`);
  say('begun, ');
  // Clients come while the lines above are on their way, a little later, and when more has been said.
  const viewers = await Promise.all(
    [0, 1, 2].map(async (i) => {
      if (i > 0) say(`said to ${i}\n`);
      const got: Uint8Array[] = [];
      const connection: Connection = {
        input: chunks(),
        accept: () => {},
        write: async (bytes) => {
          got.push(bytes.slice());
        },
        descriptor: async () => -1,
        end: () => {},
        closed: never,
      };
      const attachment = await attachWithLogs({
        connection,
        output,
        log,
        stdout: true,
        stderr: true,
        tty: true,
        mergeFrames: true,
        reader: new LogReader(),
      });
      return { got, attachment };
    }),
  );
  say('the end\n');
  closeSync(pipe.write);
  closeSync(pipe.read);
  await output.drained;
  for (const { got, attachment } of viewers) {
    expect(await attachment.done).toBe('ended');
    expect(Buffer.concat(got).toString()).toBe(expected.join(''));
  }
  expect(readFileSync(path).length).toBeLessThan(41_000);
});
