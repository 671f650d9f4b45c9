/**
 * Measures how late `_ping` and a byte through `exec -i cat` come, from a process of its own (`bun latency-watch.ts SOCKET
 * CONTAINER MS`), so that whoever gives the engine its work is not in the way. Prints the percentiles as JSON.
 */
import { ApiConnection } from './api-connection.ts';

const EVERY_MS = 2;

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly count: number;
}

export interface Latencies {
  readonly ping: Percentiles;
  readonly echo: Percentiles;
}

export async function watchLatencies(socket: string, container: string, ms: number): Promise<Latencies> {
  const child = Bun.spawn([process.execPath, import.meta.path, socket, container, String(ms)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error('the measuring process failed');
  // as: printed by the same file.
  return JSON.parse(text) as Latencies;
}

function percentiles(latencies: number[]): Percentiles {
  latencies.sort((a, b) => a - b);
  const at = (part: number) => latencies[Math.floor(latencies.length * part)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), max: latencies.at(-1) ?? Number.NaN, count: latencies.length };
}

async function pings(socket: string, until: number): Promise<Percentiles> {
  const latencies: number[] = [];
  using api = await ApiConnection.open(socket);
  while (performance.now() < until) {
    const sent = performance.now();
    await api.ask('GET', '/_ping');
    latencies.push(performance.now() - sent);
    await Bun.sleep(EVERY_MS);
  }
  return percentiles(latencies);
}

/** Over a hijacked connection with a terminal of none: frames of eight bytes and what was sent. */
async function echoes(socket: string, container: string, until: number): Promise<Percentiles> {
  using api = await ApiConnection.open(socket);
  const wanted = { AttachStdin: true, AttachStdout: true, Cmd: ['cat'] };
  const { body } = await api.ask('POST', `/containers/${container}/exec`, wanted);
  // as: dockerd's answer to this request.
  const { Id } = JSON.parse(body.toString()) as { Id: string };
  const latencies: number[] = [];
  let arrived: () => void = () => undefined;
  let upgraded = false;
  let head = '';
  const stream = await Bun.connect({
    unix: socket,
    socket: {
      data: (_, bytes) => {
        if (upgraded) return arrived();
        head += bytes.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        upgraded = true;
        arrived();
      },
    },
  });
  const next = (bytes: string) =>
    new Promise<void>((resolve) => {
      arrived = resolve;
      stream.write(bytes);
    });
  const start = '{"Detach":false,"Tty":false}';
  const lines = [
    `POST /exec/${Id}/start HTTP/1.1`,
    'Host: bench',
    'Connection: Upgrade',
    'Upgrade: tcp',
    'Content-Type: application/json',
    `Content-Length: ${start.length}`,
  ];
  await next(`${lines.join('\r\n')}\r\n\r\n${start}`);
  while (performance.now() < until) {
    const sent = performance.now();
    await next('x');
    latencies.push(performance.now() - sent);
    await Bun.sleep(EVERY_MS);
  }
  stream.end();
  return percentiles(latencies);
}

if (import.meta.main) {
  const [socket = '', container = '', ms = ''] = process.argv.slice(2);
  const until = performance.now() + Number(ms);
  const [ping, echo] = await Promise.all([pings(socket, until), echoes(socket, container, until)]);
  console.log(JSON.stringify({ ping, echo } satisfies Latencies));
  process.exit(0);
}
