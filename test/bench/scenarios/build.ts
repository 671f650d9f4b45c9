/**
 * Builds: ten steps new and cached, stages side by side, a context that is ignored. By the classic builder of each engine
 * where docker's client asks, by `berth build`, and by buildah.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { SMALL } from '../images.ts';
import type { Round, Scenario } from '../scenario.ts';

const IGNORED = 100_000;
const STAGES = 4;

const made = new Map<string, string>();

/** Made once, gone with the process. */
export function contextDirectory(name: string, fill: (directory: string) => void): string {
  const known = made.get(name);
  if (known !== undefined) return known;
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), `berth-bench-${name}-`));
  process.once('exit', () => fs.rmSync(directory, { recursive: true, force: true }));
  fill(directory);
  made.set(name, directory);
  return directory;
}

export async function timedBuild({ engine, recorder }: Round, metric: string, directory: string): Promise<number> {
  const { ms } = await engine.build(directory);
  recorder.add(metric, engine.name, ms, 'ms');
  return ms;
}

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

function stagesFile(salt: string, turns: number, sideBySide: boolean): string {
  const work = `i=0; while [ $i -lt ${turns} ]; do i=$((i+1)); done; echo $i`;
  if (sideBySide) {
    const each = Array.from({ length: STAGES }, (_, i) => `FROM ${SMALL} AS s${i}\nRUN ${work} > /${salt}-${i}`);
    const copies = Array.from({ length: STAGES }, (_, i) => `COPY --from=s${i} /${salt}-${i} /`);
    return `${each.join('\n')}\nFROM ${SMALL}\n${copies.join('\n')}\n`;
  }
  return `FROM ${SMALL}\n${Array.from({ length: STAGES }, (_, i) => `RUN ${work} > /${salt}-${i}`).join('\n')}\n`;
}

let counter = 0;
export const salt = (): string => `${Date.now().toString(36)}${counter++}`;

export const buildSteps: Scenario = {
  name: 'build',
  what: 'ten steps, new and cached',
  rounds: 5,
  warmUps: 1,
  builds: true,
  async round(round) {
    const directory = contextDirectory('steps', (made) => fs.writeFileSync(path.join(made, 'f'), 'f'));
    fs.writeFileSync(path.join(directory, 'Dockerfile'), tenSteps(salt()));
    await timedBuild(round, 'build of 10 steps, new', directory);
    await timedBuild(round, 'build of 10 steps, cached', directory);
  },
};

/** What a stage works for, and in how many turns of a shell's loop; the short ones show what the builder itself takes. */
const stageWork = [
  ['a tenth of a second', 60_000],
  ['a second', 600_000],
] as const;

export const stages: Scenario = {
  name: 'stages',
  what: `${STAGES} stages side by side and one after the other`,
  rounds: 3,
  warmUps: 0,
  builds: true,
  async round(round) {
    const directory = contextDirectory('stages', () => undefined);
    const dockerfile = path.join(directory, 'Dockerfile');
    for (const [length, turns] of stageWork) {
      fs.writeFileSync(dockerfile, stagesFile(salt(), turns, true));
      const sideBySide = await timedBuild(round, `${STAGES} stages of ${length}`, directory);
      fs.writeFileSync(dockerfile, stagesFile(salt(), turns, false));
      const inTurn = await timedBuild(round, `steps of ${length} one after the other`, directory);
      round.recorder.add(`stages of ${length}: faster side by side`, round.engine.name, inTurn / sideBySide, 'times');
    }
  },
};

export const buildIgnored: Scenario = {
  name: 'ignored',
  what: `a context of ${IGNORED} ignored files`,
  rounds: 3,
  warmUps: 1,
  builds: true,
  async round(round) {
    const directory = contextDirectory('ignored', (made) => {
      for (let d = 0; d < IGNORED / 1000; d++) {
        const below = path.join(made, 'ignored', `d${d}`);
        fs.mkdirSync(below, { recursive: true });
        for (let f = 0; f < 1000; f++) fs.writeFileSync(path.join(below, `f${f}`), '');
      }
      fs.writeFileSync(path.join(made, '.dockerignore'), 'ignored\n');
      fs.writeFileSync(path.join(made, 'Dockerfile'), `FROM ${SMALL}\nCOPY . /app\n`);
    });
    await timedBuild(round, `context of ${IGNORED} ignored files, cached`, directory);
  },
};
