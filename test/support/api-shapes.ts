/**
 * The shapes of the API's answers, keys and types without values, after the same life on any daemon: recorded once from
 * dockerd (`tools/golden-shapes.ts`), compared with ours by a test.
 */

export type Ask = (method: string, target: string, body?: unknown) => Promise<{ status: number; body: unknown }>;

/** `GET …` → lines `path: type`, sorted. */
export type Shapes = Readonly<Record<string, readonly string[]>>;

const IMAGE = 'berth.test/busybox:1';

/** Objects whose keys are names that users or hosts give. */
const NAMED = new Set([
  ...['Labels', 'Networks', 'Containers', 'Ports', 'PortBindings', 'ExposedPorts', 'Options', 'DriverOpts', 'Tmpfs'],
  ...['Runtimes', 'Data', 'Details', 'IndexConfigs', 'Sysctls', 'stats', 'networks', 'Attributes', 'Annotations'],
]);

function walk(place: string, value: unknown, lines: Set<string>): void {
  if (Array.isArray(value)) {
    if (value.length === 0) lines.add(`${place}: []`);
    for (const element of value) walk(`${place}[]`, element, lines);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    lines.add(`${place}: ${value === null ? 'null' : typeof value}`);
    return;
  }
  const entries = Object.entries(value);
  if (entries.length === 0) lines.add(`${place}: {}`);
  const named = NAMED.has(place.split('.').at(-1) ?? '') || place.endsWith('LogConfig.Config');
  for (const [key, entry] of entries) walk(`${place}.${named ? '*' : key}`, entry, lines);
}

const shapeOf = (value: unknown): string[] => {
  const lines = new Set<string>();
  walk('', value, lines);
  return [...lines].sort();
};

const one = {
  Image: IMAGE,
  Cmd: ['sh', '-c', 'echo out; sleep 1000'],
  Env: ['A=1'],
  Labels: { l: 'm' },
  ExposedPorts: { '80/tcp': {}, '81/udp': {} },
  Healthcheck: { Test: ['CMD', 'true'], Interval: 300_000_000, Timeout: 60_000_000_000 },
  HostConfig: {
    NetworkMode: 'shapes',
    PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
    Binds: ['shapes:/v', '/etc:/h:ro'],
    Mounts: [
      { Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 1048576 } },
      { Type: 'volume', Target: '/anonymous' },
    ],
    Tmpfs: { '/t2': 'size=1m' },
    Memory: 67108864,
    NanoCpus: 500000000,
    PidsLimit: 50,
    Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 200 }],
    CapAdd: ['NET_ADMIN'],
    RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 2 },
    ExtraHosts: ['a:1.2.3.4'],
    Dns: ['1.1.1.1'],
  },
  NetworkingConfig: { EndpointsConfig: { shapes: { Aliases: ['al'] } } },
};

/** Asks for everything over the life of a few objects, and removes them. Preconditions: busybox is loaded. */
export async function collectShapes(ask: Ask): Promise<Shapes> {
  const shapes: Record<string, readonly string[]> = {};
  const must = async (method: string, target: string, body?: unknown): Promise<unknown> => {
    const answer = await ask(method, target, body);
    if (answer.status >= 400) throw new Error(`${method} ${target}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const note = async (target: string, when = ''): Promise<void> => {
    shapes[`GET ${target}${when}`] = shapeOf(await must('GET', target));
  };
  const made = async (method: string, target: string, body?: unknown): Promise<unknown> => {
    const answer = await must(method, target, body);
    shapes[`${method} ${target}`] = shapeOf(answer);
    return answer;
  };
  await made('POST', '/volumes/create', { Name: 'shapes', Labels: { a: 'b' } });
  await made('POST', '/networks/create', { Name: 'shapes', Labels: { a: 'b' } });
  await made('POST', '/containers/create?name=one', one);
  await made('POST', '/containers/create?name=two', {
    Image: IMAGE,
    Cmd: ['false'],
    HostConfig: { NetworkMode: 'none' },
  });
  await note('/containers/one/json', ' (created)');
  await must('POST', '/containers/one/start');
  await must('POST', '/containers/two/start');
  await made('POST', '/containers/two/wait');
  for (;;) {
    // as: what the API documents; the first probe has been made when it is healthy.
    const inspected = (await must('GET', '/containers/one/json')) as { State: { Health?: { Status: string } } };
    if (inspected.State.Health?.Status === 'healthy') break;
    await Bun.sleep(50);
  }
  for (const name of ['one', 'two']) await note(`/containers/${name}/json?size=1`);
  for (const query of ['', '?all=1&size=1']) await note(`/containers/json${query}`);
  for (const what of ['top', 'changes', 'stats?stream=0']) await note(`/containers/one/${what}`);
  const exec = { Cmd: ['sh', '-c', 'exit 3'], User: '1000', Env: ['B=2'] };
  // as: what the API documents.
  const { Id } = (await made('POST', '/containers/one/exec', exec)) as { Id: string };
  shapes['GET /exec/ID/json'] = shapeOf(await must('GET', `/exec/${Id}/json`));
  await made('POST', '/containers/one/update', { CpuShares: 100 });
  for (const target of ['/info', '/version', '/images/json', `/images/${IMAGE}/json`, `/images/${IMAGE}/history`]) {
    await note(target);
  }
  for (const target of ['/networks/bridge', '/networks/shapes', '/networks', '/volumes/shapes', '/volumes']) {
    await note(target);
  }
  await note('/system/df');
  await note('/v1.43/containers/one/json');
  await note(`/v1.43/images/${IMAGE}/json`);
  await must('POST', '/containers/one/stop?t=0');
  await note('/containers/one/json', ' (ended)');
  for (const name of ['one', 'two']) await must('DELETE', `/containers/${name}?force=1&v=1`);
  await must('DELETE', '/networks/shapes');
  await must('DELETE', '/volumes/shapes');
  for (const what of ['containers', 'volumes', 'networks', 'images']) await made('POST', `/${what}/prune`);
  return shapes;
}
