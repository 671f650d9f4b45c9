/** Load, save and rmi of an image of 270 MB in 32,400 files; a fresh variant each time. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { largeImage } from '../images.ts';
import { type Scenario, timed } from '../scenario.ts';

export const load: Scenario = {
  name: 'load',
  what: 'load, save and rmi of a 270 MB image with 6 layers and 32,400 files',
  rounds: 3,
  warmUps: 0,
  round: async (round) => {
    const image = largeImage(round.number);
    const out = path.join(os.tmpdir(), `bench-save-${process.pid}.tar`);
    await timed(round, 'load 270 MB', ['load', '-i', image.path]);
    try {
      await timed(round, 'save 270 MB', ['save', '-o', out, image.reference]);
    } finally {
      fs.rmSync(out, { force: true });
    }
    await timed(round, 'rmi', ['rmi', image.reference]);
  },
};
