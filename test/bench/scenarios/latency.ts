/** What another client waits for while an image of 270 MB is pulled, loaded, saved and pushed. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { gzipSync } from 'node:zlib';
import { must } from '../../support/command.ts';
import { TestRegistry } from '../../support/registry.ts';
import { largeImage, largeLayers } from '../images.ts';
import { pinged } from '../pinged.ts';
import { publish } from '../publish.ts';
import { type Scenario, timed } from '../scenario.ts';

/** Of the pulled image; those that are loaded have the round's number, from `LOADED`. */
const PULLED = 80;
const LOADED = 81;

let source: TestRegistry | undefined;

export const latency: Scenario = {
  name: 'latency',
  what: '_ping during a pull, a load, a save and a push of 270 MB',
  rounds: 2,
  warmUps: 0,
  prepare: async () => {
    if (source !== undefined) return;
    source = await TestRegistry.start();
    const layers = largeLayers(PULLED);
    await publish(
      source.host,
      'large:1',
      layers,
      layers.map((layer) => gzipSync(layer, { level: 6 })),
    );
  },
  round: async (round) => {
    const { engine, number } = round;
    // The docker CLI's daemon is the same as that of our own.
    if (engine.socket === undefined) return;
    const pulled = `${source?.host ?? ''}/large:1`;
    const image = largeImage(LOADED + number);
    const saved = path.join(os.tmpdir(), `bench-save-${process.pid}.tar`);
    await using target = await TestRegistry.start();
    const pushed = `${target.host}/large:1`;
    const quietly = async (what: string, args: readonly string[]): Promise<void> => {
      // Without a disk that still writes what came before.
      await must('sync', []);
      await pinged(round, what, () => timed(round, what, args));
    };
    await quietly('pull 270 MB', ['pull', '-q', pulled]);
    await quietly('load 270 MB', ['load', '-q', '-i', image.path]);
    try {
      await quietly('save 270 MB', ['save', '-o', saved, image.reference]);
    } finally {
      fs.rmSync(saved, { force: true });
    }
    await engine.run(['tag', pulled, pushed]);
    await quietly('push 270 MB', ['push', '-q', pushed]);
    await engine.run(['rmi', pulled, pushed, image.reference]);
  },
  finish: async () => {
    await source?.[Symbol.asyncDispose]();
    source = undefined;
  },
};
