/**
 * `kill -9` of the daemon at random moments while twenty containers with restart policies are created, started, stopped
 * and removed: after each restart every state is a legal one and true of the processes, what was acknowledged is kept,
 * and in the end nothing is left behind. KILLS=50 for the whole of it; SEED repeats the moments of a run.
 */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { eventually } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
const CONTAINERS = 20;
const CLIENTS = 4;
const kills = Number(process.env['KILLS'] ?? 10);

const policies = ['no', 'always', 'unless-stopped', 'on-failure'] as const;
const commands = [
  ['sleep', '1000'],
  ['sh', '-c', 'sleep 0.2; exit 3'],
  ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.05; done'],
] as const;

/** What was last asked of a container and acknowledged; 'unknown' while an answer is missing. */
type Known = 'gone' | 'created' | 'started' | 'stopped' | 'unknown';

interface State {
  readonly Status: string;
  readonly Running: boolean;
  readonly Paused: boolean;
  readonly Restarting: boolean;
  readonly Dead: boolean;
  readonly Pid: number;
}

function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

class Fleet {
  readonly known: Known[] = Array.from({ length: CONTAINERS }, () => 'gone');
  readonly #d: TestDaemon;
  readonly #random: () => number;
  stopped = false;
  /** Answers that no daemon should give. */
  readonly wrong: string[] = [];

  constructor(d: TestDaemon, random: () => number) {
    this.#d = d;
    this.#random = random;
  }

  /** One at a time does something to a container, so that what is known of it is true. */
  async client(n: number): Promise<void> {
    while (!this.stopped) {
      const i = n + CLIENTS * Math.floor(this.#random() * (CONTAINERS / CLIENTS));
      const did = await this.#act(i, this.#random());
      // The daemon is away.
      if (!did) await Bun.sleep(20);
    }
  }

  async #act(i: number, chance: number): Promise<boolean> {
    const name = `k${i}`;
    const before = this.known[i];
    this.known[i] = 'unknown';
    if (before === 'gone') return this.#ask(i, 'POST', `/containers/create?name=${name}`, 'created', this.#body(i));
    if (before === 'created' || before === 'stopped') {
      if (chance < 0.3) return this.#ask(i, 'DELETE', `/containers/${name}?force=1`, 'gone');
      return this.#ask(i, 'POST', `/containers/${name}/start`, 'started');
    }
    if (before === 'started' && chance < 0.3) return this.#ask(i, 'POST', `/containers/${name}/restart?t=0`, 'started');
    if (before === 'started' && chance < 0.7) return this.#ask(i, 'POST', `/containers/${name}/stop?t=0`, 'stopped');
    return this.#ask(i, 'DELETE', `/containers/${name}?force=1`, 'gone');
  }

  #body(i: number): unknown {
    return {
      Image: IMG,
      Cmd: commands[i % commands.length],
      HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: policies[i % policies.length] } },
    };
  }

  async #ask(i: number, method: string, target: string, then: Known, body?: unknown): Promise<boolean> {
    let status: number;
    try {
      ({ status } = await this.#d.request(method, target, body));
    } catch {
      return false;
    }
    const gone = method === 'DELETE' && status === 404;
    if (status < 400 || gone) this.known[i] = then;
    // A removal that the last daemon did not finish, or a daemon that is just coming up.
    else if (![404, 409, 503].includes(status)) this.wrong.push(`${method} ${target}: ${status}`);
    return status < 500;
  }

  /** Every container that there is: its state is one of those that the API knows, and the kernel agrees. */
  async check(): Promise<void> {
    const { body } = await this.#d.request('GET', '/containers/json?all=1');
    // as: what the route is documented to answer.
    for (const { Id: id } of body as { Id: string }[]) {
      const answer = await this.#d.request('GET', `/containers/${id}/json`);
      if (answer.status === 404) continue;
      // as: above.
      const { State: state } = answer.body as { State: State };
      expect(['created', 'running', 'restarting', 'exited', 'removing', 'dead']).toContain(state.Status);
      expect(state.Paused).toBe(false);
      if (state.Status === 'restarting') expect(state.Restarting).toBe(true);
      if (state.Status === 'running' && state.Pid > 0) await this.#isTrue(id, state.Pid);
      if (state.Status === 'exited' || state.Status === 'created') expect(state.Pid).toBe(0);
    }
  }

  /** The process is the container's, unless it has ended since the answer. */
  async #isTrue(id: string, pid: number): Promise<void> {
    let groups: string;
    try {
      groups = fs.readFileSync(`/proc/${pid}/cgroup`, 'utf8');
    } catch {
      return;
    }
    if (groups.includes(id)) return;
    await eventually('its end is known', async () => {
      const { status, body } = await this.#d.request('GET', `/containers/${id}/json`);
      // as: above.
      return status === 404 || (body as { State: State }).State.Pid !== pid;
    });
  }
}

test(`kill -9 at ${kills} random moments over ${CONTAINERS} containers with restart policies`, async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 100_000);
  console.log(`seed ${seed}`);
  const random = randomOf(seed);
  await using d = await TestDaemon.start({ noBridge: true });
  const fleet = new Fleet(d, random);
  const clients = Array.from({ length: CLIENTS }, (_, n) => fleet.client(n));
  for (let i = 0; i < kills; i++) {
    await Bun.sleep(30 + random() * 400);
    await d.restart();
    await fleet.check();
  }
  await Bun.sleep(300);
  fleet.stopped = true;
  await Promise.all(clients);
  expect(fleet.wrong).toEqual([]);
  await d.restart();
  for (const [i, known] of fleet.known.entries()) {
    const { status, body } = await d.request('GET', `/containers/k${i}/json`);
    if (known === 'gone') expect([`k${i}`, status]).toEqual([`k${i}`, 404]);
    if (known === 'unknown' || known === 'gone') continue;
    expect([`k${i}`, status]).toEqual([`k${i}`, 200]);
    // as: above.
    const { State: state } = body as { State: State };
    const policy = policies[i % policies.length];
    const lasting = policy === 'always' || policy === 'unless-stopped';
    if (known === 'started' && lasting) {
      await eventually(`k${i} is kept running`, async () => {
        const now = (await d.request('GET', `/containers/k${i}/json`)).body as { State: State };
        return ['running', 'restarting'].includes(now.State.Status);
      });
    }
    if (known === 'created') expect([`k${i}`, state.Status]).toEqual([`k${i}`, 'created']);
    // `always` is started again with the daemon; the others stay as the user left them.
    if (known === 'stopped' && policy !== 'always') expect([`k${i}`, state.Status]).toEqual([`k${i}`, 'exited']);
  }
  const left = (await d.must(['ps', '-aq'])).split('\n').filter((line) => line !== '');
  if (left.length > 0) await d.must(['rm', '-f', ...left], { limitMs: 60_000 });
  expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
}, 600_000);
