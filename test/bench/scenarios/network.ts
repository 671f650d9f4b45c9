/** Networks: making them, published ports, names, and bytes between containers. Clients run in containers' namespaces. */
import * as path from 'node:path';
import type { Engine } from '../engine.ts';
import { SMALL } from '../images.ts';
import { type Round, type Scenario, timed } from '../scenario.ts';

const CLIENT = path.resolve(import.meta.dirname, '../network-client.py');
const LOOKUPS = '3000';
const TRIPS = '3000';
const CONNECTS = '500';
const BYTES = String(1 << 30);
const [ECHO, SINK] = ['7000', '7001'];
const LIMIT_MS = 60_000;
/** Of the figures without wake-ups of another one. */
const CPU = 0;

/** Where clients and servers run: in whose network namespace (''; the host's), and on which processor alone. */
interface Place {
  readonly pid?: string;
  readonly cpu?: number;
}

const client = ({ pid = '', cpu }: Place, ...args: readonly string[]) =>
  Bun.spawn(
    [
      ...(cpu === undefined ? [] : ['taskset', '-c', String(cpu)]),
      ...(pid === '' ? [] : ['nsenter', '-t', pid, '-n']),
      'timeout',
      String(LIMIT_MS / 1000),
      'python3',
      CLIENT,
      ...args,
    ],
    { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' },
  );

async function numbers(place: Place, ...args: readonly string[]): Promise<number[]> {
  const child = client(place, ...args);
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${args.join(' ')}: ${errors.slice(-300)}`);
  return out.trim().split(/\s+/).map(Number);
}

interface Server extends AsyncDisposable {
  /** The next line that it prints. */
  line(): Promise<string>;
}

async function server(place: Place, ...args: readonly string[]): Promise<Server> {
  const child = client(place, ...args);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  const line = async (): Promise<string> => {
    while (!text.includes('\n')) {
      const part = await reader.read();
      if (part.done) throw new Error(`${args.join(' ')} has ended`);
      text += part.value;
    }
    const at = text.indexOf('\n');
    const first = text.slice(0, at);
    text = text.slice(at + 1);
    return first;
  };
  await line();
  return {
    line,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await child.exited;
    },
  };
}

async function startedOn(engine: Engine, network: string, ...flags: readonly string[]) {
  const name = engine.fresh();
  await engine.run(['run', '-d', '--name', name, '--network', network, ...flags, SMALL, 'sleep', '1000']);
  const format = `{{.State.Pid}} {{(index .NetworkSettings.Networks "${network}").IPAddress}} {{range $p, $b := .NetworkSettings.Ports}}{{range $b}}{{.HostPort}} {{end}}{{end}}`;
  const { stdout } = await engine.run(['inspect', '-f', format, name], { keep: true });
  const [pid = '', ip = '', port = ''] = stdout.trim().split(' ');
  return { name, pid, ip, port };
}

/** With a processor: client, server and engine share it, and there are no wake-ups of another one in the figures. */
async function traffic({ engine, recorder }: Round, network: string, cpu?: number): Promise<void> {
  using _pinned = cpu === undefined ? undefined : engine.pin(cpu);
  const place = cpu === undefined ? {} : { cpu };
  const near = await startedOn(engine, network, '-p', `127.0.0.1::${ECHO}`);
  const far = await startedOn(engine, network);
  const [inNear, inFar] = [near, far].map(({ pid }) => ({ ...place, pid }));
  const add = (metric: string, value: number | undefined, unit: 'µs' | '/s' | 'MB/s') =>
    recorder.add(`${metric}${cpu === undefined ? '' : ', one CPU'}`, engine.name, value ?? Number.NaN, unit);
  {
    await using _ = await server(inNear ?? {}, 'echo', ECHO);
    const [direct] = await numbers(place, 'trip', near.ip, ECHO, TRIPS);
    const [published] = await numbers(place, 'trip', '127.0.0.1', near.port, TRIPS);
    const [connected] = await numbers(place, 'connect', near.ip, ECHO, CONNECTS);
    const [byPort] = await numbers(place, 'connect', '127.0.0.1', near.port, CONNECTS);
    add("round trip to the container's address, p50", direct, 'µs');
    add('round trip by a port of 127.0.0.1, p50', published, 'µs');
    add("connect and close to the container's address, p50", connected, 'µs');
    add('connect and close by a port of 127.0.0.1, p50', byPort, 'µs');
  }
  if (cpu === undefined) {
    await using sink = await server(inNear ?? {}, 'sink', SINK);
    const source = client(inFar ?? {}, 'source', near.ip, SINK, BYTES);
    add('1 GiB from container to container', Number(await sink.line()), 'MB/s');
    await source.exited;
  }
  const [lookup, rate] = await numbers(inFar ?? {}, 'dns', near.name, LOOKUPS);
  add('look-up of a name by 127.0.0.11, p50', lookup, 'µs');
  add('look-ups by one client', rate, '/s');
  {
    // What a datagram there and back costs with a server that does nothing.
    await using _ = await server(inFar ?? {}, 'udp-echo', ECHO);
    const [echoed] = await numbers(inFar ?? {}, 'udp-trip', ECHO, LOOKUPS);
    add('(a datagram to a server that only returns it, p50)', echoed, 'µs');
  }
  await engine.run(['rm', '-f', near.name, far.name]);
}

export const network: Scenario = {
  name: 'network',
  what: 'network create and rm, run -p, published ports, names, bytes between containers',
  rounds: 5,
  warmUps: 1,
  round: async (round) => {
    const name = `bench-net-${process.pid}`;
    await timed(round, 'network create', ['network', 'create', name]);
    try {
      await timed(round, 'run --rm -p true', ['run', '--rm', '-p', '127.0.0.1::80', SMALL, 'true']);
      await traffic(round, name);
    } finally {
      await timed(round, 'network rm', ['network', 'rm', name]);
    }
  },
};

/** `traffic` where no figure has the wake-up of another processor in it, which costs more than the work. */
export const networkPinned: Scenario = {
  name: 'network-pinned',
  what: 'published ports and names with clients, servers and engine on one processor',
  rounds: 3,
  warmUps: 1,
  round: async (round) => {
    const name = `bench-pin-${process.pid}`;
    await round.engine.run(['network', 'create', name]);
    try {
      await traffic(round, name, CPU);
    } finally {
      await round.engine.run(['network', 'rm', name]);
    }
  },
};

const MANY = { first: 21_000, last: 21_999, inside: 10_000 } as const;

/** The same by the last of a thousand ports as by one: what a packet costs does not hang on how many are published. */
export const ports: Scenario = {
  name: 'ports',
  what: 'a container with 1,000 published ports: its start, and a packet by the last of them',
  rounds: 3,
  warmUps: 0,
  round: async (round) => {
    const { engine, recorder } = round;
    const name = engine.fresh();
    const inside = `${MANY.inside}-${MANY.inside + MANY.last - MANY.first}`;
    const range = `127.0.0.1:${MANY.first}-${MANY.last}:${inside}`;
    const add = (metric: string, value: number | undefined) =>
      recorder.add(metric, engine.name, value ?? Number.NaN, 'µs');
    const one = await startedOn(engine, 'bridge', '-p', `127.0.0.1::${ECHO}`);
    {
      await using _ = await server({ pid: one.pid }, 'echo', ECHO);
      const [trip] = await numbers({}, 'trip', '127.0.0.1', one.port, TRIPS);
      const [connected] = await numbers({}, 'connect', '127.0.0.1', one.port, CONNECTS);
      add('round trip, 1 port published, p50', trip);
      add('connect and close, 1 port published, p50', connected);
    }
    await engine.run(['rm', '-f', one.name]);
    await timed(round, 'run -d with 1,000 ports', ['run', '-d', '--name', name, '-p', range, SMALL, 'sleep', '1000']);
    const { stdout } = await engine.run(['inspect', '-f', '{{.State.Pid}}', name], { keep: true });
    const last = MANY.inside + MANY.last - MANY.first;
    {
      await using _ = await server({ pid: stdout.trim() }, 'echo', String(last));
      const [trip] = await numbers({}, 'trip', '127.0.0.1', String(MANY.last), TRIPS);
      const [connected] = await numbers({}, 'connect', '127.0.0.1', String(MANY.last), CONNECTS);
      add('round trip, 1,000 ports published, p50', trip);
      add('connect and close, 1,000 ports published, p50', connected);
    }
    await timed(round, 'rm -f with 1,000 ports', ['rm', '-f', name]);
  },
};
