/**
 * Builds: ten steps new and cached, a large context, one that is ignored, stages side by side. By the classic builder of
 * each engine where docker's client asks, and by `berth build`.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { Engine } from '../engine.ts';
import { SMALL } from '../images.ts';
import type { Scenario } from '../scenario.ts';

const DIRECTORIES = 300;
const FILES_EACH = 100;
const FILE_BYTES = 9_700;
const IGNORED = 100_000;
const STAGES = 4;

interface Contexts {
  readonly root: string;
  readonly steps: string;
  readonly large: string;
  readonly ignored: string;
  readonly stages: string;
}

let made: Contexts | undefined;

function contexts(): Contexts {
  if (made !== undefined) return made;
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-bench-build-'));
  process.once('exit', () => fs.rmSync(root, { recursive: true, force: true }));
  const directory = (name: string): string => {
    fs.mkdirSync(path.join(root, name));
    return path.join(root, name);
  };
  const found = {
    root,
    steps: directory('steps'),
    large: directory('large'),
    ignored: directory('ignored'),
    stages: directory('stages'),
  };
  made = found;
  fs.writeFileSync(path.join(found.steps, 'f'), 'f');
  for (let d = 0; d < DIRECTORIES; d++) {
    const below = path.join(found.large, `d${d}`);
    fs.mkdirSync(below);
    const content = randomBytes(FILE_BYTES + FILES_EACH);
    for (let f = 0; f < FILES_EACH; f++)
      fs.writeFileSync(path.join(below, `f${f}`), content.subarray(f, f + FILE_BYTES));
  }
  fs.writeFileSync(path.join(found.large, 'Dockerfile'), `FROM ${SMALL}\nCOPY . /app\n`);
  for (let d = 0; d < IGNORED / 1000; d++) {
    const below = path.join(found.ignored, 'ignored', `d${d}`);
    fs.mkdirSync(below, { recursive: true });
    for (let f = 0; f < 1000; f++) fs.writeFileSync(path.join(below, `f${f}`), '');
  }
  fs.writeFileSync(path.join(found.ignored, '.dockerignore'), 'ignored\n');
  fs.writeFileSync(path.join(found.ignored, 'Dockerfile'), `FROM ${SMALL}\nCOPY . /app\n`);
  return found;
}

/** docker's client asks the classic builder: without a plugin there is no other. */
const build = (engine: Engine, directory: string, ...args: readonly string[]) =>
  engine.shell(`DOCKER_BUILDKIT=0 "$@" build -q -t bench-build ${args.join(' ')} ${directory}`);

const tenSteps = (salt: string): string =>
  [
    `FROM ${SMALL}`,
    `ENV SALT=${salt}`,
    'WORKDIR /work',
    'COPY f /work/f',
    'RUN echo 1 > 1',
    'RUN echo 2 > 2',
    'RUN cat f > 3',
    'ENV MORE=1',
    'RUN echo 4 > 4',
    'LABEL a=b',
    'CMD ["true"]',
    '',
  ].join('\n');

function stages(salt: string, sideBySide: boolean): string {
  const work = 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo $i';
  if (sideBySide) {
    const each = Array.from({ length: STAGES }, (_, i) => `FROM ${SMALL} AS s${i}\nRUN ${work} > /${salt}-${i}`);
    const copies = Array.from({ length: STAGES }, (_, i) => `COPY --from=s${i} /${salt}-${i} /`);
    return `${each.join('\n')}\nFROM ${SMALL}\n${copies.join('\n')}\n`;
  }
  return `FROM ${SMALL}\n${Array.from({ length: STAGES }, (_, i) => `RUN ${work} > /${salt}-${i}`).join('\n')}\n`;
}

let counter = 0;
const salt = (): string => `${Date.now().toString(36)}${counter++}`;

export const buildSteps: Scenario = {
  name: 'build',
  what: 'ten steps new and cached; four stages side by side and one after the other; 100,000 ignored files',
  rounds: 5,
  warmUps: 1,
  async round({ engine, recorder }) {
    const { steps, ignored, stages: staged } = contexts();
    const timed = async (metric: string, directory: string): Promise<void> => {
      const { ms } = await build(engine, directory);
      recorder.add(metric, engine.name, ms, 'ms');
    };
    fs.writeFileSync(path.join(steps, 'Dockerfile'), tenSteps(salt()));
    await timed('build of 10 steps, new', steps);
    await timed('build of 10 steps, cached', steps);
    fs.writeFileSync(path.join(staged, 'Dockerfile'), stages(salt(), true));
    await timed('4 stages', staged);
    fs.writeFileSync(path.join(staged, 'Dockerfile'), stages(salt(), false));
    await timed('the same one after the other', staged);
    await timed('context of 100,000 ignored files, cached', ignored);
  },
};

export const buildContext: Scenario = {
  name: 'context',
  what: `a context of ${DIRECTORIES * FILES_EACH} files, 290 MB: new, unchanged, one changed`,
  rounds: 3,
  warmUps: 0,
  async round({ engine, recorder }) {
    const { large } = contexts();
    const timed = async (metric: string): Promise<void> => {
      const { ms } = await build(engine, large);
      recorder.add(metric, engine.name, ms, 'ms');
    };
    await engine.run(['builder', 'prune', '-af']);
    await timed('30,000 files, 290 MB: new');
    await timed('unchanged');
    fs.writeFileSync(path.join(large, 'd150', 'f50'), `changed ${salt()}`);
    await timed('one changed');
  },
};
