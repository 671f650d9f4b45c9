/**
 * How long an engine keeps one waiting: from the request to start a container to the first instruction of its program, and
 * how late `_ping` and a byte through an exec come while it is given much else to do.
 */
import { call } from '#sys/call.ts';
import { ApiConnection } from '../api-connection.ts';
import { CLOCK_FILE } from '../clock-program.ts';
import type { Engine } from '../engine.ts';
import { largeImage, SMALL } from '../images.ts';
import type { Recorder } from '../recorder.ts';
import type { Scenario } from '../scenario.ts';
import { type Latencies, watchLatencies } from '../latency-watch.ts';

const STARTS = 40;
const CLOCK_GETTIME = 228;
const CLOCK_MONOTONIC = 1;
const TAR_BLOCK = 512;

/** Milliseconds of the clock that a container's program reads. */
function monotonicMs(): number {
  const timespec = new Uint8Array(16);
  if (call(CLOCK_GETTIME, CLOCK_MONOTONIC, timespec) < 0) throw new Error('clock_gettime failed');
  return millisecondsOf(Buffer.from(timespec.buffer));
}

function millisecondsOf(timespec: Buffer): number {
  return Number(timespec.readBigInt64LE(0)) * 1e3 + Number(timespec.readBigInt64LE(8)) / 1e6;
}

export const startLatency: Scenario = {
  name: 'start-latency',
  what: 'POST start to the first instruction of the program, and to the answer, over a kept connection',
  rounds: 3,
  warmUps: 0,
  round: async ({ engine, recorder }) => {
    if (engine.socket === undefined || process.arch !== 'x64') return;
    using api = await ApiConnection.open(engine.socket);
    for (const [network, what] of [
      ['none', 'without network'],
      ['bridge', 'on the bridge'],
    ] as const) {
      for (let i = 0; i < STARTS; i++) await oneStart(engine, recorder, api, { network, what, warm: i > 4 });
    }
  },
};

async function oneStart(
  engine: Engine,
  recorder: Recorder,
  api: ApiConnection,
  o: { readonly network: string; readonly what: string; readonly warm: boolean },
): Promise<void> {
  const name = engine.fresh();
  const HostConfig = { NetworkMode: o.network };
  await api.ask('POST', `/containers/create?name=${name}`, { Image: SMALL, Cmd: ['/clock'], HostConfig });
  const sent = monotonicMs();
  await api.ask('POST', `/containers/${name}/start`);
  const answered = monotonicMs();
  await api.ask('POST', `/containers/${name}/wait`);
  const { body } = await api.ask('GET', `/containers/${name}/archive?path=${CLOCK_FILE}`);
  await api.ask('DELETE', `/containers/${name}`);
  if (!o.warm) return;
  const began = millisecondsOf(body.subarray(TAR_BLOCK, TAR_BLOCK + 16));
  recorder.add(`POST start to the program's first instruction, ${o.what}`, engine.name, began - sent, 'ms');
  recorder.add(`POST start to its answer, ${o.what}`, engine.name, answered - sent, 'ms');
}

const LOG_COPIES = 20;
const BUSY_MS = 8_000;
const STARTERS = 8;
const LOADED = 70;
let logged = new Map<string, string>();

export const busy: Scenario = {
  name: 'busy',
  what: '_ping and a byte through exec while an image is loaded, 200 MB of log are read and 8 clients start containers',
  rounds: 2,
  warmUps: 0,
  prepare: async (engine) => {
    if (engine.socket === undefined) return;
    const name = engine.fresh();
    logged.set(engine.name, name);
    const lines = Array.from({ length: LOG_COPIES }, () => '/lines').join(' ');
    await engine.run(['run', '-d', '--name', name, '--network', 'none', SMALL, 'sh', '-c', `cat ${lines}`]);
    await engine.run(['wait', name]);
  },
  round: async ({ engine, recorder, number }) => {
    const log = logged.get(engine.name);
    if (engine.socket === undefined || log === undefined) return;
    const echo = engine.fresh();
    await engine.run(['run', '-d', '--name', echo, '--network', 'none', SMALL, 'sleep', '1000']);
    const image = largeImage(LOADED + (number % 2));
    const quiet = await watchLatencies(engine.socket, echo, 2_000);
    tell(recorder, engine, 'at rest', quiet);
    const until = performance.now() + BUSY_MS;
    let starts = 0;
    const work = [
      engine.run(['load', '-q', '-i', image.path]),
      (async () => {
        while (performance.now() < until) await engine.shell(`"$@" logs ${log}`);
      })(),
      ...Array.from({ length: STARTERS }, () => starter(engine, until, () => (starts += 1))),
    ];
    tell(recorder, engine, 'while busy', await watchLatencies(engine.socket, echo, BUSY_MS));
    await Promise.all(work);
    recorder.add('starts meanwhile', engine.name, (starts * 1000) / BUSY_MS, '/s');
    await engine.run(['rmi', image.reference]);
    await engine.run(['rm', '-f', echo]);
  },
  finish: async () => {
    logged = new Map();
  },
};

function tell(recorder: Recorder, engine: Engine, when: string, { ping, echo }: Latencies): void {
  recorder.add(`_ping ${when}: p50`, engine.name, ping.p50, 'ms');
  recorder.add(`_ping ${when}: p99`, engine.name, ping.p99, 'ms');
  recorder.add(`a byte through exec ${when}: p50`, engine.name, echo.p50, 'ms');
  recorder.add(`a byte through exec ${when}: p99`, engine.name, echo.p99, 'ms');
}

/** One client of the API: creates, starts, waits, removes, over and over. */
async function starter(engine: Engine, until: number, started: () => void): Promise<void> {
  using api = await ApiConnection.open(engine.socket ?? '');
  while (performance.now() < until) {
    const name = engine.fresh();
    const body = { Image: SMALL, Cmd: ['true'], HostConfig: { NetworkMode: 'none' } };
    await api.ask('POST', `/containers/create?name=${name}`, body);
    await api.ask('POST', `/containers/${name}/start`);
    started();
    await api.ask('POST', `/containers/${name}/wait`);
    await api.ask('DELETE', `/containers/${name}`);
  }
}
