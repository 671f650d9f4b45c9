/**
 * A context of 30,000 files, 290 MB, that is copied whole: new, unchanged, with one changed file. Three scenarios, since
 * one such build takes dockerd up to a minute: it has one round in each.
 */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { Engine } from '../engine.ts';
import { SMALL } from '../images.ts';
import type { Scenario } from '../scenario.ts';
import { contextDirectory, salt, timedBuild } from './build.ts';

const DIRECTORIES = 300;
const FILES_EACH = 100;
const FILE_BYTES = 9_700;
const FILES = `${DIRECTORIES * FILES_EACH} files, 290 MB`;

function large(): string {
  return contextDirectory('large', (root) => {
    for (let d = 0; d < DIRECTORIES; d++) {
      const below = path.join(root, `d${d}`);
      fs.mkdirSync(below);
      const content = randomBytes(FILE_BYTES + FILES_EACH);
      for (let f = 0; f < FILES_EACH; f++)
        fs.writeFileSync(path.join(below, `f${f}`), content.subarray(f, f + FILE_BYTES));
    }
    fs.writeFileSync(path.join(root, 'Dockerfile'), `FROM ${SMALL}\nCOPY . /app\n`);
  });
}

/** Engines that have built it as it is now, but for the file that changes. */
const built = new Set<Engine>();

async function prepare(engine: Engine): Promise<void> {
  if (!built.has(engine)) await engine.build(large());
  built.add(engine);
}

export const contextNew: Scenario = {
  name: 'context-new',
  what: `${FILES}: nothing of it is known`,
  rounds: 2,
  warmUps: 0,
  builds: true,
  peerRounds: 1,
  async round(round) {
    await round.engine.forgetBuilds();
    await timedBuild(round, `${FILES}: new`, large());
    // Two clients of one daemon have one cache.
    built.clear();
  },
};

export const contextUnchanged: Scenario = {
  name: 'context-same',
  what: `${FILES}: as before`,
  rounds: 3,
  warmUps: 0,
  builds: true,
  peerRounds: 1,
  prepare,
  async round(round) {
    await timedBuild(round, `${FILES}: unchanged`, large());
  },
};

export const contextChanged: Scenario = {
  name: 'context-changed',
  what: `${FILES}: one of them changed`,
  rounds: 5,
  warmUps: 0,
  builds: true,
  peerRounds: 1,
  prepare,
  async round(round) {
    fs.writeFileSync(path.join(large(), 'd150', 'f50'), `changed ${salt()}`);
    await timedBuild(round, `${FILES}: one changed`, large());
  },
};
