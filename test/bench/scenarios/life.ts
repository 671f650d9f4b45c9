/** Single commands of a container's life, each a process of the client. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import { SMALL } from '../images.ts';
import { type Scenario, timed } from '../scenario.ts';

export const cli: Scenario = {
  name: 'cli',
  what: 'the client alone, and with one request',
  rounds: 15,
  warmUps: 1,
  round: async (round) => {
    await timed(round, '--version', ['--version']);
    await timed(round, 'version', ['version']);
  },
};

/** What a container of real life has on top of `true`. */
function rich(): string[] {
  const env = Array.from({ length: 20 }, (_, i) => ['-e', `NAME_${i}=value ${i}`]);
  const binds = ['/etc', '/usr/share', os.tmpdir()].map((dir, i) => ['-v', `${fs.realpathSync(dir)}:/bind${i}:ro`]);
  const limits = ['--memory', '256m', '--cpus', '1', '--pids-limit', '200', '--user', '1000', '--hostname', 'bench'];
  return [...env.flat(), ...binds.flat(), ...limits];
}

export const run: Scenario = {
  name: 'run',
  what: 'run --rm true: without network, on the bridge, with user, environment, binds and limits',
  rounds: 20,
  warmUps: 2,
  round: async (round) => {
    await timed(round, 'run --rm --network none true', ['run', '--rm', '--network', 'none', SMALL, 'true']);
    await timed(round, 'run --rm true (bridge)', ['run', '--rm', SMALL, 'true']);
    const args = ['run', '--rm', '--network', 'none', ...rich(), SMALL, 'true'];
    await timed(round, 'run --rm, user, 20 env, 3 binds, limits', args);
  },
};

export const life: Scenario = {
  name: 'life',
  what: 'create, start, exec, stop, rm, run -d, rm -f, ps, inspect',
  rounds: 15,
  warmUps: 1,
  round: async (round) => {
    const { engine } = round;
    const [a, b] = [engine.fresh(), engine.fresh()];
    await timed(round, 'create', ['create', '--name', a, SMALL, 'sleep', '1000']);
    await timed(round, 'start', ['start', a]);
    await timed(round, 'exec true', ['exec', a, 'true']);
    await timed(round, 'ps', ['ps']);
    await timed(round, 'inspect', ['inspect', a]);
    await timed(round, 'stop -t 0', ['stop', '-t', '0', a]);
    await timed(round, 'rm', ['rm', a]);
    await timed(round, 'run -d', ['run', '-d', '--name', b, SMALL, 'sleep', '1000']);
    await timed(round, 'rm -f', ['rm', '-f', b]);
  },
};

const MANY = 50;
const CLIENTS = 8;

export const many: Scenario = {
  name: 'many',
  what: '50 containers by 8 clients: rate, memory, removal',
  rounds: 3,
  warmUps: 0,
  round: async (round) => {
    const { engine, recorder } = round;
    const idle = engine.memoryMegabytes();
    const names = Array.from({ length: MANY }, () => engine.fresh());
    const waiting = [...names];
    const started = performance.now();
    await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
          await engine.run(['run', '-d', '--network', 'none', '--name', name, SMALL, 'sleep', '1000']);
        }
      }),
    );
    recorder.add('50 × run -d by 8 clients', engine.name, (MANY * 1000) / (performance.now() - started), '/s');
    await Bun.sleep(1000);
    if (idle > 0) {
      recorder.add('memory of the idle engine (PSS)', engine.name, idle, 'MB');
      const each = (engine.memoryMegabytes() - idle) / MANY;
      recorder.add('memory per running container (PSS)', engine.name, each, 'MB');
    }
    await timed(round, 'ps with 50 running', ['ps']);
    await timed(round, 'rm -f of 50', ['rm', '-f', ...names]);
  },
};
