/** Requests a second over one and eight kept-alive connections, with 200 containers there. */
import { SMALL } from '../images.ts';
import type { Engine } from '../engine.ts';
import type { Recorder } from '../recorder.ts';
import type { Scenario } from '../scenario.ts';

const CONTAINERS = 200;
const SECONDS = 1.5;

export const api: Scenario = {
  name: 'api',
  what: 'GET _ping, containers/json, containers/ID/json, with 200 containers',
  rounds: 3,
  warmUps: 0,
  prepare: async (engine) => {
    if (engine.socket === undefined) return;
    for (let i = 0; i < CONTAINERS; i++) {
      await request(engine.socket, 'POST', `/containers/create?name=${engine.fresh()}`, {
        Image: SMALL,
        Cmd: ['true'],
        HostConfig: { NetworkMode: 'none' },
      });
    }
  },
  round: async ({ engine, recorder }) => {
    if (engine.socket === undefined) return;
    // as: dockerd's list of containers.
    const list = (await request(engine.socket, 'GET', '/containers/json?all=1')) as { Id: string }[];
    const targets = {
      _ping: '/_ping',
      'containers/json, 200 containers': '/containers/json?all=1',
      'containers/ID/json': `/containers/${list[0]?.Id ?? ''}/json`,
    };
    for (const [name, target] of Object.entries(targets)) {
      for (const connections of [1, 8]) await measure(engine, recorder, name, target, connections);
    }
  },
};

async function request(socket: string, method: string, target: string, body?: unknown): Promise<unknown> {
  const response = await fetch(`http://bench${target}`, {
    unix: socket,
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });
  if (!response.ok) throw new Error(`${method} ${target}: ${response.status} ${await response.text()}`);
  return response.json();
}

async function measure(engine: Engine, recorder: Recorder, name: string, target: string, n: number): Promise<void> {
  const end = performance.now() + SECONDS * 1000;
  const latencies: number[] = [];
  const started = performance.now();
  await Promise.all(Array.from({ length: n }, () => connection(engine.socket ?? '', target, end, latencies)));
  const seconds = (performance.now() - started) / 1000;
  latencies.sort((a, b) => a - b);
  recorder.add(`GET ${name}, ${n} connections`, engine.name, latencies.length / seconds, 'req/s');
  const p99 = latencies[Math.floor(latencies.length * 0.99)] ?? 0;
  recorder.add(`GET ${name}, ${n} connections: p99`, engine.name, p99, 'ms');
}

/** One connection, one request after the other; a body is known by its length or its last chunk. */
function connection(unix: string, target: string, end: number, latencies: number[]): Promise<void> {
  const head = Buffer.from(`GET ${target} HTTP/1.1\r\nHost: bench\r\n\r\n`);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sent = 0;
  let got = Buffer.alloc(0);
  void Bun.connect({
    unix,
    socket: {
      open: (socket) => {
        sent = performance.now();
        socket.write(head);
      },
      data: (socket, bytes) => {
        got = got.length === 0 ? Buffer.from(bytes) : Buffer.concat([got, bytes]);
        if (!complete(got)) return;
        const now = performance.now();
        latencies.push(now - sent);
        got = Buffer.alloc(0);
        if (now >= end) {
          socket.end();
          return resolve();
        }
        sent = now;
        socket.write(head);
      },
      error: (_, error) => reject(error),
      connectError: (_, error) => reject(error),
      close: () => resolve(),
    },
  }).catch(reject);
  return promise;
}

function complete(bytes: Buffer): boolean {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return false;
  const head = bytes.toString('latin1', 0, headEnd);
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return bytes.length >= headEnd + 4 + Number(length);
  return bytes.subarray(-5).toString('latin1') === '0\r\n\r\n';
}
