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

async function start(engine: Engine, count: number): Promise<void> {
  const waiting = Array.from({ length: count }, () => engine.fresh());
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
        await engine.run(['run', '-d', '--network', 'none', '--name', name, SMALL, 'sleep', '100000']);
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
