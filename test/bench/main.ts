/**
 * npm run bench: the same work by our CLI and the stock docker CLI against a private daemon of ours, and against Debian's
 * dockerd, in turns. Prints a table of medians with ratios and writes all samples as JSON to build/bench/.
 *
 *   npm run bench -- [--only run,life] [--engines berth,docker,dockerd,buildah] [--rounds N] [--list] [--no-peer]
 *                    [--executable] [--engine NAME='docker -H unix:///path'] [--socket NAME=/path]
 *
 * --engines takes the first words of their names: only these are measured. buildah is there when it is asked for, and
 * builds only. `oci` measures `berth oci` beside runc and crun, by itself and after the others. --engine adds any engine
 * that speaks docker's command line; --executable measures dist/berth instead of the sources. A scenario begins no round
 * after its second minute. Above the table stands what a start costs this machine at this hour without any engine
 * (floor.ts): it makes figures of different hours comparable.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { run as command } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { Dockerd, DOCKERD } from '../support/dockerd.ts';
import { buildah } from './buildah.ts';
import { Engine } from './engine.ts';
import { measureFloor } from './floor.ts';
import { SMALL, smallImage } from './images.ts';
import { measureOci, rerunWithoutHybrid } from './oci.ts';
import { median, Recorder, table } from './recorder.ts';
import type { Scenario } from './scenario.ts';
import { api } from './scenarios/api.ts';
import { buildIgnored, buildSteps, stages } from './scenarios/build.ts';
import { contextChanged, contextNew, contextUnchanged } from './scenarios/context.ts';
import { busy, startLatency } from './scenarios/busy.ts';
import { commit, cp, cpTree } from './scenarios/files.ts';
import { load } from './scenarios/images.ts';
import { latency } from './scenarios/latency.ts';
import { cli, life, many, run } from './scenarios/life.ts';
import { network, networkPinned, ports } from './scenarios/network.ts';
import { crowd, health, stats } from './scenarios/observe.ts';
import { registry, registryMemory } from './scenarios/registry.ts';
import { attach, logs } from './scenarios/streams.ts';

const scenarios: readonly Scenario[] = [
  cli,
  run,
  life,
  many,
  startLatency,
  busy,
  logs,
  attach,
  api,
  load,
  cp,
  cpTree,
  commit,
  buildSteps,
  stages,
  buildIgnored,
  contextNew,
  contextUnchanged,
  contextChanged,
  stats,
  crowd,
  health,
  network,
  networkPinned,
  ports,
  registry,
  registryMemory,
  latency,
];
const root = path.resolve(import.meta.dirname, '../..');

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    engines: { type: 'string' },
    rounds: { type: 'string' },
    list: { type: 'boolean', default: false },
    'no-peer': { type: 'boolean', default: false },
    executable: { type: 'boolean', default: false },
    engine: { type: 'string', multiple: true, default: [] },
    socket: { type: 'string', multiple: true, default: [] },
  },
});

const OCI = 'oci';
const OCI_ROUNDS = 41;
const FLOOR_STARTS = 200;
const SCENARIO_MS_MAX = 120_000;
const PEER = 'dockerd';
const PEER_BRIDGE = 'bench0';

function pairs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]));
}

/** By the first word of an engine's name. */
function isWanted(name: string): boolean {
  const [first = ''] = name.split(' ');
  return options.engines === undefined || options.engines.split(',').includes(first);
}

async function peerDaemon(cleanup: AsyncDisposableStack): Promise<Engine | undefined> {
  if (options['no-peer'] || !isWanted(PEER) || !fs.existsSync(DOCKERD)) return undefined;
  await command('ip', ['link', 'add', PEER_BRIDGE, 'type', 'bridge']);
  await command('ip', ['addr', 'add', '172.29.77.1/24', 'dev', PEER_BRIDGE]);
  cleanup.defer(async () => {
    await command('ip', ['link', 'del', PEER_BRIDGE]);
  });
  const peer = cleanup.use(await Dockerd.start(['--bridge', PEER_BRIDGE]));
  return new Engine({
    name: PEER,
    command: ['docker', '-H', `unix://${peer.socket}`],
    socket: peer.socket,
    processes: peer.directory,
  });
}

async function ownEngines(cleanup: AsyncDisposableStack): Promise<Engine[]> {
  const own = path.join(root, options.executable ? 'dist/berth' : 'berth');
  const daemon = await TestDaemon.start({ image: false, ...(options.executable ? { executable: own } : {}) });
  // On a machine that others use as well the leak check sees their things too: told, not a failure of the figures.
  cleanup.defer(() =>
    daemon[Symbol.asyncDispose]().catch((error: unknown) => {
      console.error(`ending the daemon: ${String(error).slice(0, 500)}`);
    }),
  );
  const host = `unix://${daemon.socket}`;
  return [
    new Engine({ name: 'berth', command: [own], env: { BERTH_HOST: host } }),
    new Engine({
      name: 'docker CLI on berth',
      command: ['docker', '-H', host],
      socket: daemon.socket,
      processes: daemon.directory,
      restart: () => daemon.restart(),
    }),
  ];
}

/** One round of every engine; who goes first changes. A scenario that fails twice for an engine is left out for it. */
async function measure(scenario: Scenario, all: readonly Engine[], recorder: Recorder): Promise<void> {
  const rounds = options.rounds === undefined ? scenario.rounds : Number(options.rounds);
  const engines = scenario.builds === true ? all : all.filter(({ buildsOnly }) => !buildsOnly);
  const failures = new Map<string, number>();
  const attempt = async (engine: Engine, work: () => Promise<void>) => {
    if ((failures.get(engine.name) ?? 0) >= 2) return;
    try {
      await work();
    } catch (error) {
      failures.set(engine.name, (failures.get(engine.name) ?? 0) + 1);
      recorder.fail(engine.name, `${scenario.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  await using _finish = { [Symbol.asyncDispose]: async () => scenario.finish?.() };
  for (const engine of engines) await attempt(engine, async () => scenario.prepare?.(engine));
  const began = performance.now();
  for (let number = -scenario.warmUps; number < rounds; number++) {
    if (number > 0 && performance.now() - began > SCENARIO_MS_MAX) {
      console.error(`${scenario.name}: ${number} of ${rounds} rounds in two minutes`);
      break;
    }
    recorder.recording = number >= 0;
    const first = (((number % engines.length) + engines.length) % engines.length) | 0;
    for (const engine of [...engines.slice(first), ...engines.slice(0, first)]) {
      if (engine.name === PEER && number >= (scenario.peerRounds ?? rounds)) continue;
      await attempt(engine, () => scenario.round({ engine, recorder, number }));
    }
  }
  recorder.recording = true;
  for (const engine of engines) if (!engine.buildsOnly) await attempt(engine, () => engine.cleanUp());
}

async function oci(): Promise<void> {
  const rounds = options.rounds === undefined ? [] : ['--rounds', options.rounds];
  const code = await rerunWithoutHybrid(['--only', OCI, ...rounds, ...(options.executable ? ['--executable'] : [])]);
  if (code !== undefined) {
    if (code !== 0) process.exitCode = code;
    return;
  }
  const own = path.join(root, options.executable ? 'dist/berth' : 'berth');
  const recorder = await measureOci([own, 'oci'], Number(options.rounds ?? OCI_ROUNDS));
  console.log(table(recorder.rows('runc'), ['berth', 'runc', 'crun']));
  for (const failure of recorder.failures) console.log(`! ${failure}`);
  if (recorder.failures.length > 0) process.exitCode = 1;
}

async function main(): Promise<void> {
  if (options.list) {
    for (const { name, rounds, what } of scenarios) console.log(`${name.padEnd(15)} ${rounds} rounds  ${what}`);
    console.log(`${OCI.padEnd(15)} ${OCI_ROUNDS} rounds  run of a bundle, beside runc and crun; by its name only`);
    return;
  }
  const names = options.only?.split(',').filter((name) => name !== '');
  const unknown = names?.filter((name) => name !== OCI && !scenarios.some((s) => s.name === name)) ?? [];
  if (unknown.length > 0) {
    console.error(`there is no scenario ${unknown.join(', ')}; --list tells which there are`);
    process.exitCode = 1;
  }
  const wanted = names?.filter((name) => scenarios.some((s) => s.name === name));
  if (wanted === undefined || wanted.length > 0) await engines(wanted);
  if (names?.includes(OCI)) await oci();
}

/** The floor of this machine at this hour: told above the table, and kept with the samples. */
async function floor(): Promise<readonly number[]> {
  const samples = (await measureFloor(FLOOR_STARTS)) ?? [];
  return samples.toSorted((a, b) => a - b);
}

async function engines(wanted: readonly string[] | undefined): Promise<void> {
  const floorSamples = await floor();
  await using cleanup = new AsyncDisposableStack();
  const sockets = pairs(options.socket);
  const others = Object.entries(pairs(options.engine)).map(([name, text]) => {
    const socket = sockets[name];
    return new Engine({ name, command: text.split(' '), ...(socket === undefined ? {} : { socket }) });
  });
  const peer = await peerDaemon(cleanup);
  const own = (await ownEngines(cleanup)).filter(({ name }) => isWanted(name));
  const runners = [...own, ...others, ...(peer === undefined ? [] : [peer])];
  const image = await smallImage();
  for (const engine of runners) await engine.run(['load', '-i', image]);
  for (const engine of runners) await engine.run(['run', '--rm', '--network', 'none', SMALL, 'true']);
  const builders = options.engines !== undefined && isWanted('buildah') ? [await buildah(cleanup, image)] : [];
  const engines = [...runners, ...builders];

  const recorder = new Recorder();
  const date = new Date().toISOString();
  for (const scenario of scenarios) {
    if (wanted === undefined ? scenario.onlyByName === true : !wanted.includes(scenario.name)) continue;
    const started = performance.now();
    await measure(scenario, engines, recorder);
    console.error(`${scenario.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  const rows = recorder.rows(peer?.name);
  const names = engines.map((engine) => engine.name);
  const directory = path.join(root, 'build/bench');
  fs.mkdirSync(directory, { recursive: true });
  const target = path.join(directory, `${date.replaceAll(':', '')}.json`);
  const machine = { cpus: os.cpus().length, model: os.cpus()[0]?.model, kernel: os.release(), load: os.loadavg() };
  fs.writeFileSync(
    target,
    JSON.stringify({ date, machine, floor: floorSamples, engines: names, rows, failures: recorder.failures }, null, 1),
  );
  console.log(
    `${date}, ${machine.cpus} × ${machine.model}, Linux ${machine.kernel}; median (min–max), ×better than ${PEER}`,
  );
  if (floorSamples.length > 0) {
    const [least = 0, last = 0] = [floorSamples[0], floorSamples.at(-1)];
    const shown = [median(floorSamples), least, last].map((ms) => ms.toFixed(1));
    console.log(`floor: ${shown[0]} ms (${shown[1]}–${shown[2]}) a container by libcontainer and the kernel alone\n`);
  }
  console.log(table(rows, names));
  for (const failure of recorder.failures) console.log(`! ${failure}`);
  console.log(`\n${path.relative(root, target)}`);
  if (recorder.failures.length > 0) process.exitCode = 1;
}

await main();
