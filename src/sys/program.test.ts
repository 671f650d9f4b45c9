import { expect, test } from 'bun:test';
import { NR } from './numbers.ts';
import { Program, STEP_BYTES } from './program.ts';
import { patchSources } from './zygote/launch.ts';

const BASE = 0x7000_0000;

/** The list as the zygote's child sees it, by absolute address. */
function decode(program: Program) {
  const list = program.serialize(BASE, 1 << 20, 0);
  const view = new DataView(list.bytes.buffer);
  const first = Program.firstStepAddress(list, BASE) - BASE;
  const step = (index: number) => {
    const at = first + index * STEP_BYTES;
    const word = (k: number) => Number(view.getBigInt64(at + 8 * k, true));
    return {
      nr: word(0),
      args: [1, 2, 3, 4, 5, 6].map(word),
      result: word(7),
      flags: view.getUint32(at + 64, true),
      skips: view.getUint32(at + 68, true),
      forgives: word(9),
      address: BASE + at,
    };
  };
  const text = (address: number) => {
    const at = address - BASE;
    return Buffer.from(list.bytes.subarray(at, list.bytes.indexOf(0, at))).toString();
  };
  const word = (address: number) => Number(view.getBigInt64(address - BASE, true));
  return { list, step, text, word };
}

test('the list begins by taking its descriptors and closing everything else', () => {
  const program = new Program();
  const source = program.fd(70);
  expect(program.fd(70)).toBe(source);
  program.fd(71);
  program.do('stdin', NR.dup3, source, 0, 0);
  const { list, step } = decode(program);
  expect(list.descriptors).toEqual([70, 71]);
  expect(step(0)).toMatchObject({ nr: NR.dup3, args: [0, 3, 0o2000000, 0, 0, 0] });
  expect(step(1).args.slice(0, 2)).toEqual([0, 4]);
  expect(step(2).args.slice(0, 2)).toEqual([0, 5]);
  expect(step(3)).toMatchObject({ nr: NR.close_range, args: [6, 0xffffffff, 0, 0, 0, 0] });
  expect(step(4)).toMatchObject({ nr: NR.dup3, args: [4, 0, 0, 0, 0, 0] });
  patchSources(list.bytes, list, [300, 301, 302]);
  const patched = new DataView(list.bytes.buffer);
  expect([0, 1, 2].map((i) => Number(patched.getBigInt64(list.firstSourceAt + i * STEP_BYTES, true)))).toEqual([
    300, 301, 302,
  ]);
});

test('strings, pointers and structs get addresses of the arena they are sent to', () => {
  const program = new Program();
  program.do(
    'execve',
    NR.execve,
    '/bin/true',
    program.argv(['true', 'ä']),
    program.struct(new Uint8Array(16), { 8: program.str('in') }),
  );
  const { step, text, word } = decode(program);
  const [path = 0, argv = 0, struct = 0] = step(2).args;
  expect(text(path)).toBe('/bin/true');
  expect([text(word(argv)), text(word(argv + 8)), word(argv + 16)]).toEqual(['true', 'ä', 0]);
  expect(text(word(struct + 8))).toBe('in');
});

test('a result is fed into an argument of a later step', () => {
  const program = new Program();
  const opened = program.do('open', NR.openat, -100, '/x', 0, 0);
  const slot = program.keep(opened);
  program.do('use', NR.fchdir, slot);
  const { step } = decode(program);
  // The slot is taken before anything can be opened at its number.
  expect(step(2)).toMatchObject({ nr: NR.dup3, args: [3, 4, 0o2000000, 0, 0, 0] });
  expect(step(3).result).toBe(step(4).address + 8);
  expect(step(4)).toMatchObject({ nr: NR.dup3, args: [0, 4, 0o2000000, 0, 0, 0] });
  expect(step(5).args[0]).toBe(4);
  expect(() => program.feed(opened, 2, 0)).toThrow('one argument');
});

test('an optional step forgives one errno and may skip what hangs on it', () => {
  const program = new Program();
  const opened = program.optional('open', 'ENOENT', NR.openat, -100, '/x', 0, 0);
  program.doWith(opened, 'use', NR.fchdir);
  program.skipsToHere(opened);
  program.do('after', NR.getpid);
  const { step } = decode(program);
  expect(step(2)).toMatchObject({ flags: 1, forgives: -2, skips: STEP_BYTES });
});

test('records say what happened in the steps’ own names', () => {
  const program = new Program();
  using gate = program.gate('exec');
  program.attempt('try', NR.execve, '/usr/bin/x', 0, 0);
  program.fail('search');
  const { list, step, word } = decode(program);
  const firstStep = Program.firstStepAddress(list, BASE);
  const report = (value: number, address: number) => {
    const record = new DataView(new ArrayBuffer(16));
    record.setBigInt64(0, BigInt(value), true);
    record.setBigInt64(8, BigInt(address), true);
    return program.report(record, firstStep);
  };
  // One descriptor: outcome, gate, close_range, then the steps.
  const arrive = step(3);
  const [fd, record = 0, length] = arrive.args;
  expect([arrive.nr, fd, length]).toEqual([NR.write, 3, 16]);
  expect(word(record)).toBe(0);
  expect(report(0, word(record + 8))).toEqual({ kind: 'arrived', gate: 'exec' });
  expect(report(0, step(4).address)).toEqual({ kind: 'failed', failure: { step: 'exec', errno: 0, code: 'closed' } });
  expect(report(-13, step(5).address)).toEqual({
    kind: 'note',
    failure: { step: 'try', errno: 13, code: 'EACCES', path: '/usr/bin/x' },
  });
  expect(report(-38, step(6).address)).toMatchObject({ kind: 'failed', failure: { step: 'search' } });
  expect(report(4711, step(6).address)).toEqual({ kind: 'second', pid: 4711 });
  expect(report(-9, step(0).address)).toMatchObject({
    kind: 'failed',
    failure: { step: 'take descriptors', code: 'EBADF' },
  });
  gate.sent();
});

test('a list longer than the arena is refused', () => {
  const program = new Program();
  program.alloc(5000);
  expect(() => program.serialize(BASE, 4096, 0)).toThrow('longer than the arena');
});
