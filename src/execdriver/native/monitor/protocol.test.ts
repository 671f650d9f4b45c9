import { expect, test } from 'bun:test';
import {
  decodeDaemonMessage,
  decodeMonitorMessage,
  encodeFrame,
  FrameReader,
  type DaemonMessage,
  type MonitorMessage,
} from './protocol.ts';

const exit = { id: 'a', pid: 7, code: 0, signal: 9, time: 1 };
const fromDaemon: DaemonMessage[] = [
  { t: 'attach' },
  {
    t: 'start',
    key: 1,
    id: 'a',
    base: 4096,
    length: 500,
    firstSourceAt: 200,
    sources: 2,
    held: ['stdin'],
    second: true,
    cgroup: 1,
  },
  { t: 'start', key: 2, id: 'ä', base: 4096, length: 500, firstSourceAt: 200, sources: 0, held: [], second: false },
  {
    ...{ t: 'start', key: 3, id: 'p', base: 4096, length: 500, firstSourceAt: 200, sources: 3, held: [], second: true },
    passing: true,
  },
  { t: 'adopt', id: 'a', pid: 8 },
  { t: 'drop', id: 'a', name: 'stdin' },
  { t: 'forget', id: 'a' },
  { t: 'take', id: 'a', name: 'tty' },
];
const fromMonitor: MonitorMessage[] = [
  {
    t: 'hello',
    version: 1,
    pid: 5,
    base: 4096,
    arenaBytes: 8192,
    ownExecutable: true,
    passing: true,
    processes: [
      { id: 'a', pid: 7, held: { stdin: 300 } },
      { id: 'b', pid: 8, held: {}, exit },
    ],
  },
  { t: 'arena', base: 1, arenaBytes: 2 },
  { t: 'started', key: 1, id: 'a', pid: 7 },
  { t: 'refused', key: 1, id: 'a', errno: 11, what: 'clone3' },
  { t: 'exit', exit },
  { t: 'exit', exit, reports: 'AAAA' },
  { t: 'taken', found: true },
  { t: 'unknown', message: 'x' },
];

test('every message survives the wire, however it is cut', () => {
  const bytes = Buffer.concat([...fromDaemon, ...fromMonitor].map(encodeFrame));
  for (const size of [1, 3, 7, 64, bytes.length]) {
    const reader = new FrameReader();
    const values: unknown[] = [];
    for (let at = 0; at < bytes.length; at += size) values.push(...reader.push(bytes.subarray(at, at + size)));
    expect(values.slice(0, fromDaemon.length).map(decodeDaemonMessage)).toEqual(fromDaemon);
    expect(values.slice(fromDaemon.length).map(decodeMonitorMessage)).toEqual(fromMonitor);
  }
});

test('a kind that is not known is no error, a wrong field is', () => {
  expect(decodeDaemonMessage({ t: 'later', x: 1 })).toBeUndefined();
  expect(decodeMonitorMessage({ t: 'later' })).toBeUndefined();
  for (const wrong of [
    1,
    null,
    { t: 'adopt', id: 1, pid: 2 },
    { t: 'adopt', id: 'a', pid: -1 },
    { t: 'adopt', id: 'a', pid: 1.5 },
  ]) {
    expect(() => decodeDaemonMessage(wrong)).toThrow();
  }
});

test('a frame over the limit is refused at its head', () => {
  expect(() => new FrameReader().push(Uint8Array.of(0, 0, 0, 0x7f))).toThrow('longer than');
});
