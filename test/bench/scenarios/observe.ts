/** What a machine's owner asks about running containers: figures of five, and everything about five hundred. */
import { SMALL } from '../images.ts';
import type { Engine } from '../engine.ts';
import { type Scenario, timed } from '../scenario.ts';

const FEW = 5;

export const stats: Scenario = {
  name: 'stats',
  what: 'stats --no-stream and system df with 5 containers running',
  rounds: 10,
  warmUps: 1,
  prepare: async (engine) => {
    // Two command lines may share a daemon.
    const { stdout } = await engine.run(['ps', '-q'], { keep: true });
    if (stdout === '') await start(engine, FEW);
  },
  round: async (round) => {
    await timed(round, 'stats --no-stream of 5', ['stats', '--no-stream']);
    await timed(round, 'system df', ['system', 'df']);
    // Samples of the round before would serve as the earlier ones: a user who asks once has none.
    await Bun.sleep(KEPT_MS);
  },
};

const KEPT_MS = 5500;
const CROWD = 500;
const CLIENTS = 4;

async function start(engine: Engine, count: number, more: readonly string[] = []): Promise<void> {
  const waiting = Array.from({ length: count }, () => engine.fresh());
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        await engine.run(['run', '-d', '--network', 'none', '--name', name, ...more, SMALL, 'sleep', '100000']);
      }
    }),
  );
}

/** Only for engines that can be restarted here. */
export const crowd: Scenario = {
  name: 'crowd',
  what: '500 running containers: memory, ps, a restart of the daemon',
  rounds: 3,
  warmUps: 0,
  prepare: async (engine) => {
    if (engine.restart !== undefined) await start(engine, CROWD);
  },
  round: async (round) => {
    const { engine, recorder } = round;
    const { restart, socket } = engine;
    if (restart === undefined || socket === undefined) return;
    recorder.add('memory of the engine with 500 running (PSS)', engine.name, engine.memoryMegabytes(), 'MB');
    await timed(round, 'ps with 500 running', ['ps']);
    const started = performance.now();
    await restart();
    const response = await fetch('http://bench/containers/json', { unix: socket });
    // as: a list, whatever is in it.
    const list = (await response.json()) as unknown[];
    recorder.add('restart with 500 running: kill -9 to the whole list', engine.name, performance.now() - started, 'ms');
    if (list.length < CROWD) recorder.fail(engine.name, `after the restart ${list.length} of ${CROWD} run`);
  },
};

const PROBED = 100;
const INTERVAL_S = 5;
const WATCHED_MS = 20_000;

/** Programs of the probes are not counted, what starts them and waits for them is. */
export const health: Scenario = {
  name: 'health',
  what: `processor time of the engine with ${PROBED} healthchecks, each ${INTERVAL_S} s apart`,
  rounds: 1,
  warmUps: 0,
  prepare: async (engine) => {
    if (engine.socket === undefined) return;
    const check = ['--health-cmd', 'true', '--health-interval', `${INTERVAL_S}s`];
    await start(engine, PROBED, check);
    // All have been probed once: what is made for the first probe of each is made.
    await Bun.sleep(2 * INTERVAL_S * 1000);
  },
  round: async ({ engine, recorder }) => {
    if (engine.socket === undefined) return;
    const before = engine.processorMs();
    const began = performance.now();
    await Bun.sleep(WATCHED_MS);
    const share = (engine.processorMs() - before) / (performance.now() - began);
    const { stdout } = await engine.run(['ps', '-q', '--filter', 'health=healthy'], { keep: true });
    const healthy = stdout.split('\n').filter((line) => line !== '').length;
    if (healthy !== PROBED) recorder.fail(engine.name, `${healthy} of ${PROBED} are healthy`);
    recorder.add(
      `processor time with ${PROBED} healthchecks every ${INTERVAL_S} s, of a core`,
      engine.name,
      share * 100,
      '%',
    );
  },
};
