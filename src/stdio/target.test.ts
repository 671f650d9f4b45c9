import { expect, test } from 'bun:test';
import { transfer } from '#sys/call.ts';
import { close, fcntl, pipe2 } from '#sys/files.ts';
import { F, NR } from '#sys/numbers.ts';
import { socketpair } from '#sys/sockets.ts';
import { KeptBuffers, Target } from './target.ts';

test('a splice into a socket that blocks stops where the socket is full, and goes on when it is read', () => {
  const [ours, theirs] = socketpair();
  const pipe = pipe2();
  fcntl(pipe.write, F.SETPIPE_SZ, 1 << 20);
  const length = 900_000;
  expect(transfer(NR.write, pipe.write, Buffer.alloc(length, 'x'))).toBe(length);
  const target = new Target(1, { stdout: true, stderr: true }, theirs, new KeptBuffers());
  let sent = target.splice(1, pipe.read, length);
  expect([sent, target.owedFrom]).toEqual(['blocked', pipe.read]);
  const buffer = Buffer.alloc(1 << 20);
  let got = 0;
  while (sent === 'blocked') {
    const part = transfer(NR.read, ours, buffer);
    expect(part).toBeGreaterThan(0);
    got += part;
    sent = target.flush();
  }
  expect([sent, target.owedFrom]).toEqual(['done', -1]);
  // What is left fits into the socket: its end is where the other end is closed.
  target.close();
  for (let part = transfer(NR.read, ours, buffer); part > 0; part = transfer(NR.read, ours, buffer)) got += part;
  expect(got).toBe(8 + length);
  for (const fd of [ours, pipe.read, pipe.write]) close(fd);
});
