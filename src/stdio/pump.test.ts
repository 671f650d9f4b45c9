import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { closeSync, mkdtempSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection } from '#api/jobs/streams.ts';
import type { LogFileTarget } from '#logger/log-file.ts';
import { Demultiplexer } from '#pkg/stdcopy/stdcopy.ts';
import { close, fcntl, ioctl, open, pipe2 } from '#sys/files.ts';
import { transfer } from '#sys/call.ts';
import { F, IOCTL, NR, O } from '#sys/numbers.ts';
import { socketpair } from '#sys/sockets.ts';
import { type ProcessOutput, Pump } from './pump.ts';

let root = '';
let pump: Pump;
let logs = 0;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'berth-pump-'));
  pump = await Pump.start({ execRoot: root });
});
afterAll(async () => {
  await pump.close();
  rmSync(root, { recursive: true });
});

const target = (over: Partial<LogFileTarget> = {}): LogFileTarget => ({
  driver: 'json-file',
  path: join(root, `${++logs}.log`),
  maxSizeBytes: -1,
  maxFiles: 1,
  compress: false,
  attrs: '',
  ...over,
});

/** A client: our end of a socket pair, or without descriptor when `descriptor` is false. */
function client(descriptor = true) {
  const [ours, theirs] = socketpair();
  const gone = new AbortController();
  const written: Uint8Array[] = [];
  const connection: Connection = {
    input: (async function* () {})(),
    accept: () => {},
    write: async (bytes) => {
      written.push(bytes.slice());
    },
    descriptor: async () => (descriptor ? theirs : -1),
    end: () => close(theirs),
    closed: gone.signal,
  };
  return {
    connection,
    gone,
    /** Everything until our end of the connection is closed. */
    received: async () => {
      if (!descriptor) return Buffer.concat(written);
      const parts: Uint8Array[] = [];
      for await (const part of Bun.file(ours).stream()) parts.push(part);
      close(ours);
      return Buffer.concat(parts);
    },
  };
}

function demultiplexed(bytes: Uint8Array): { stdout: string; stderr: string } {
  const text = { stdout: '', stderr: '' };
  const demultiplexer = new Demultiplexer((stream, payload) => {
    text[stream === 2 ? 'stderr' : 'stdout'] += Buffer.from(payload).toString();
  });
  demultiplexer.push(bytes);
  expect(demultiplexer.complete).toBe(true);
  return text;
}

function entries(path: string): string[] {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
  // as: lines of our own log.
  return lines.map((line) => JSON.parse(line) as { log: string; stream: string }).map((e) => `${e.stream}: ${e.log}`);
}

/** Runs an output over two pipes; `feed` writes to them. */
function started(output: ProcessOutput) {
  const [out, err] = [pipe2(), pipe2()];
  output.start({ stdout: out.read, stderr: err.read });
  closeSync(out.read);
  closeSync(err.read);
  return { out: out.write, err: err.write };
}

describe('Pump', () => {
  test('logs both streams, an unfinished line at the end too', async () => {
    const log = target();
    const output = pump.open('a', { tty: false, log });
    const { out, err } = started(output);
    writeSync(out, 'one\ntw');
    writeSync(err, 'oops\n');
    writeSync(out, 'o\nlast');
    closeSync(out);
    closeSync(err);
    await output.drained;
    expect(entries(log.path).sort()).toEqual(['stderr: oops\n', 'stdout: last', 'stdout: one\n', 'stdout: two\n']);
  });

  for (const logged of [true, false]) {
    for (const descriptor of [true, false]) {
      test(`attached clients get frames: log ${logged}, descriptor ${descriptor}`, async () => {
        const output = pump.open('b', { tty: false, log: logged ? target() : undefined });
        const both = client(descriptor);
        const onlyErr = client(descriptor);
        const first = await output.attach({ connection: both.connection, stdout: true, stderr: true });
        const second = await output.attach({ connection: onlyErr.connection, stdout: false, stderr: true });
        const { out, err } = started(output);
        writeSync(out, 'out');
        writeSync(err, 'err');
        closeSync(out);
        closeSync(err);
        expect(await first.done).toBe('ended');
        expect(await second.done).toBe('ended');
        await output.drained;
        both.connection.end();
        onlyErr.connection.end();
        expect(demultiplexed(await both.received())).toEqual({ stdout: 'out', stderr: 'err' });
        expect(demultiplexed(await onlyErr.received())).toEqual({ stdout: '', stderr: 'err' });
      });
    }
  }

  test('many megabytes to a slow client, spliced and logged, arrive whole', async () => {
    for (const log of [undefined, target()]) {
      const output = pump.open('c', { tty: false, log });
      const slow = client();
      const attachment = await output.attach({ connection: slow.connection, stdout: true, stderr: true });
      const pipe = pipe2();
      const writer = Bun.spawn(['seq', '1', '1000000'], { stdout: pipe.write, stdin: 'ignore' });
      close(pipe.write);
      output.start({ stdout: pipe.read });
      close(pipe.read);
      const ended = attachment.done.then((end) => {
        slow.connection.end();
        return end;
      });
      const { stdout } = demultiplexed(await slow.received());
      expect(await ended).toBe('ended');
      await writer.exited;
      const expected = Array.from({ length: 1_000_000 }, (_, i) => `${i + 1}\n`).join('');
      expect(stdout === expected).toBe(true);
      if (log !== undefined) {
        await output.drained;
        expect(
          entries(log.path)
            .map((e) => e.slice(8))
            .join('') === expected,
        ).toBe(true);
      }
    }
  });

  test('a client that goes away or detaches does not stop the others', async () => {
    const log = target();
    const output = pump.open('d', { tty: false, log });
    const [leaver, detacher] = [client(), client()];
    const one = await output.attach({ connection: leaver.connection, stdout: true, stderr: true });
    const two = await output.attach({ connection: detacher.connection, stdout: true, stderr: true });
    const { out, err } = started(output);
    leaver.gone.abort();
    expect(await one.done).toBe('detached');
    two.detach();
    expect(await two.done).toBe('detached');
    writeSync(out, 'alone\n');
    closeSync(out);
    closeSync(err);
    await output.drained;
    expect(entries(log.path)).toEqual(['stdout: alone\n']);
    leaver.connection.end();
    detacher.connection.end();
    await leaver.received();
    await detacher.received();
  });

  test('finish takes what is there although the pipe stays open', async () => {
    const log = target();
    const output = pump.open('e', { tty: false, log });
    const { out, err } = started(output);
    writeSync(out, 'said before the end\n');
    output.finish();
    await output.drained;
    expect(entries(log.path)).toEqual(['stdout: said before the end\n']);
    closeSync(out);
    closeSync(err);
  });

  test('the end of the process does not wait for a slow client, and the client gets all of it', async () => {
    for (const log of [undefined, target()]) {
      const output = pump.open('slow', { tty: false, log });
      const slow = client();
      const attachment = await output.attach({ connection: slow.connection, stdout: true, stderr: true });
      const [pipe, err] = [pipe2(), pipe2()];
      fcntl(pipe.write, F.SETPIPE_SZ, 1 << 20);
      const text = `${'x'.repeat(99)}\n`.repeat(9_000);
      writeSync(pipe.write, text);
      output.start({ stdout: pipe.read, stderr: err.read });
      // The process's output stays open in somebody else's hands.
      output.finish();
      await output.drained;
      output.close();
      const ended = attachment.done.then((end) => {
        slow.connection.end();
        return end;
      });
      expect(demultiplexed(await slow.received()).stdout === text).toBe(true);
      expect(await ended).toBe('ended');
      for (const fd of [pipe.read, pipe.write, err.read, err.write]) close(fd);
    }
  });

  test('a process that ends while its output is held', async () => {
    const output = pump.open('held-end', { tty: true, log: target() });
    const { out, err } = started(output);
    const held = await output.hold({ stdout: true, stderr: true });
    writeSync(out, 'said while held');
    output.finish();
    await output.drained;
    output.close();
    const viewer = client();
    const attachment = await held.resume(viewer.connection);
    expect(await attachment.done).toBe('ended');
    viewer.connection.end();
    expect((await viewer.received()).toString()).toBe('said while held');
    close(out);
    close(err);
  });

  test('close leaves unread bytes in the pipe, and the next opener goes on in the middle of a line', async () => {
    const log = target();
    const pipe = pipe2();
    const first = pump.open('f', { tty: false, log });
    first.start({ stdout: pipe.read });
    writeSync(pipe.write, 'begun, ');
    const held = await first.hold({ stdout: true, stderr: true });
    held.cancel();
    first.close();
    await first.drained;
    writeSync(pipe.write, 'ended\n');
    const second = pump.open('f', { tty: false, log });
    second.start({ stdout: pipe.read });
    closeSync(pipe.write);
    closeSync(pipe.read);
    await second.drained;
    expect(entries(log.path)).toEqual(['stdout: begun, ended\n']);
  });

  test('a held output stands still, then gives the unfinished line and goes on', async () => {
    const log = target();
    const output = pump.open('g', { tty: false, log });
    const { out, err } = started(output);
    writeSync(out, 'logged\nunfin');
    // A hold is answered in order with what was written before it only once that has been read.
    let position = 0;
    let late = await output.hold({ stdout: true, stderr: true });
    while ((position = late.position?.size ?? 0) === 0) {
      late.cancel();
      late = await output.hold({ stdout: true, stderr: true });
    }
    expect(position).toBe(readFileSync(log.path).length);
    const viewer = client();
    writeSync(out, 'ished\n');
    const attachment = await late.resume(viewer.connection);
    closeSync(out);
    closeSync(err);
    expect(await attachment.done).toBe('ended');
    viewer.connection.end();
    expect(demultiplexed(await viewer.received()).stdout).toBe('unfinished\n');
  });

  test('rotates while it writes', async () => {
    const log = target({ maxSizeBytes: 1000, maxFiles: 3 });
    const output = pump.open('h', { tty: false, log });
    const { out, err } = started(output);
    writeSync(out, Array.from({ length: 100 }, (_, i) => `line ${i}\n`).join(''));
    closeSync(out);
    closeSync(err);
    await output.drained;
    const kept = [`${log.path}.2`, `${log.path}.1`, log.path].flatMap(entries);
    expect(kept.at(-1)).toBe('stdout: line 99\n');
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, i) => `stdout: line ${100 - kept.length + i}\n`));
    expect(readFileSync(`${log.path}.1`).length).toBeLessThan(1100);
  });

  test('a terminal: no frames, and its end is an error that is none', async () => {
    const master = open('/dev/ptmx', O.RDWR | O.NOCTTY);
    ioctl(master, IOCTL.TIOCSPTLCK, new Uint8Array(4));
    const slave = ioctl(master, IOCTL.TIOCGPTPEER, O.RDWR | O.NOCTTY);
    const log = target();
    const output = pump.open('tty', { tty: true, log });
    const viewer = client();
    const attachment = await output.attach({ connection: viewer.connection, stdout: true, stderr: true });
    output.start({ stdout: master });
    writeSync(slave, 'prompt> ');
    writeSync(slave, 'x\n');
    close(slave);
    expect(await attachment.done).toBe('ended');
    await output.drained;
    close(master);
    viewer.connection.end();
    expect((await viewer.received()).toString()).toBe('prompt> x\r\n');
    expect(entries(log.path)).toEqual(['stdout: prompt> x\r\n']);
  });

  test('a client that takes nothing is let go where there is a log, and only there', async () => {
    const impatient = await Pump.start({ execRoot: mkdtempSync(join(root, 'stall-')), stallMs: 40 });
    const text = `${'x'.repeat(99)}\n`.repeat(20_000);
    const log = target();
    for (const logged of [log, undefined]) {
      const output = impatient.open('s', { tty: false, log: logged });
      const viewer = client();
      const attachment = await output.attach({ connection: viewer.connection, stdout: true, stderr: true });
      const pipe = pipe2();
      const writer = Bun.spawn(['printf', '%s', text.slice(0, 120_000)], { stdout: pipe.write, stdin: 'ignore' });
      const more = Bun.spawn(['sh', '-c', `yes ${'x'.repeat(99)} | head -n 19000`], {
        stdout: pipe.write,
        stdin: 'ignore',
      });
      close(pipe.write);
      output.start({ stdout: pipe.read });
      close(pipe.read);
      if (logged !== undefined) {
        expect(await attachment.done).toBe('stalled');
        await output.drained;
        expect(readFileSync(log.path).length).toBeGreaterThan(2_000_000);
      } else {
        const settled = await Promise.race([attachment.done, Bun.sleep(200).then(() => 'waiting')]);
        expect(settled).toBe('waiting');
        attachment.detach();
        expect(await attachment.done).toBe('detached');
        await output.drained;
      }
      await Promise.all([writer.exited, more.exited]);
      viewer.connection.end();
      await viewer.received();
    }
    await impatient.close();
  });

  test('a client that takes a little and then nothing is let go as well', async () => {
    const impatient = await Pump.start({ execRoot: mkdtempSync(join(root, 'stall-')), stallMs: 40 });
    const output = impatient.open('s', { tty: false, log: target() });
    const [ours, theirs] = socketpair();
    const { connection } = client();
    const attachment = await output.attach({
      connection: { ...connection, descriptor: async () => theirs },
      stdout: true,
      stderr: true,
    });
    const pipe = pipe2();
    const writer = Bun.spawn(['sh', '-c', `yes ${'x'.repeat(99)} | head -n 19000`], {
      stdout: pipe.write,
      stdin: 'ignore',
    });
    close(pipe.write);
    output.start({ stdout: pipe.read });
    close(pipe.read);
    // Enough that the kernel calls the socket writable again, not enough for all that is kept.
    const buffer = Buffer.alloc(150_000);
    for (let got = 0; got < buffer.length; ) {
      const length = transfer(NR.read, ours, buffer.subarray(got));
      if (length > 0) got += length;
      else await Bun.sleep(1);
    }
    expect(await attachment.done).toBe('stalled');
    await output.drained;
    expect(await writer.exited).toBe(0);
    connection.end();
    close(ours);
    close(theirs);
    await impatient.close();
  });

  test('whenWritable', async () => {
    const pipe = pipe2();
    await pump.whenWritable(pipe.write);
    close(pipe.read);
    close(pipe.write);
  });
});
