/**
 * Pull and push through Debian's docker-registry on 127.0.0.1: the large image, a second one that shares five of its six
 * layers, a push to an empty registry, and how long `_ping` takes meanwhile. The images are put there over HTTP, by no
 * engine.
 */
import { randomFillSync } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { tar } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestRegistry } from '../../support/registry.ts';
import { largeLayers } from '../images.ts';
import { pinged } from '../pinged.ts';
import { digestOf, publish, putImage, upload } from '../publish.ts';
import { type Scenario, timed } from '../scenario.ts';

const VARIANT = 90;

let source: TestRegistry | undefined;

export const registry: Scenario = {
  name: 'registry',
  what: 'pull and push of the 270 MB image, a second image that shares 5 layers, _ping meanwhile',
  rounds: 3,
  warmUps: 0,
  prepare: async () => {
    if (source !== undefined) return;
    source = await TestRegistry.start();
    const first = largeLayers(VARIANT);
    const blobs = first.map((layer) => gzipSync(layer, { level: 6 }));
    await publish(source.host, 'large:1', first, blobs);
    // Small, so that what is measured is the way and not the layer.
    const own = tar([{ name: 'own', type: '0', mode: 0o644, content: Buffer.from('of the second image\n') }]);
    await publish(source.host, 'large:2', [...first.slice(0, -1), own], [...blobs.slice(0, -1), gzipSync(own)]);
  },
  round: async (round) => {
    const { engine } = round;
    if (source === undefined) throw new Error('there is no registry');
    const [one, two] = [`${source.host}/large:1`, `${source.host}/large:2`];
    // Without a disk that still writes what came before.
    await must('sync', []);
    await pinged(round, 'pull 270 MB', () => timed(round, 'pull 270 MB', ['pull', '-q', one]));
    await timed(round, 'pull of a second image, 5 layers shared', ['pull', '-q', two]);
    await timed(round, 'pull of what is here', ['pull', '-q', two]);
    await using target = await TestRegistry.start();
    const pushed = `${target.host}/large:1`;
    await engine.run(['tag', one, pushed]);
    await pinged(round, 'push 270 MB', () => timed(round, 'push 270 MB to an empty registry', ['push', '-q', pushed]));
    await timed(round, 'push of what is there', ['push', '-q', pushed]);
    await engine.run(['rmi', one, two, pushed]);
  },
  finish: async () => {
    await source?.[Symbol.asyncDispose]();
    source = undefined;
  },
};

const BIG_LAYERS = 4;
const BIG_BYTES = 512 << 20;
let big: TestRegistry | undefined;

export const registryMemory: Scenario = {
  name: 'registry-2gb',
  what: 'peak memory of the engine while 2 GB that do not compress are pulled',
  rounds: 1,
  warmUps: 0,
  onlyByName: true,
  prepare: async () => {
    if (big !== undefined) return;
    big = await TestRegistry.start();
    await publishBig(big.host);
  },
  round: async (round) => {
    const { engine, recorder } = round;
    if (engine.socket === undefined) return;
    const name = `${big?.host ?? ''}/big:1`;
    engine.resetPeak();
    await timed(round, 'pull 2 GB', ['pull', '-q', name]);
    recorder.add('peak memory of the engine during a pull of 2 GB', engine.name, engine.peakMegabytes(), 'MB');
    await engine.run(['rmi', name]);
  },
  finish: async () => {
    await big?.[Symbol.asyncDispose]();
    big = undefined;
  },
};

/** One layer at a time is in memory. */
async function publishBig(host: string): Promise<void> {
  const diffIds: string[] = [];
  const blobs: { digest: string; size: number }[] = [];
  for (let i = 0; i < BIG_LAYERS; i++) {
    const content = randomFillSync(Buffer.allocUnsafe(BIG_BYTES));
    const layer = tar([{ name: `big${i}`, type: '0', mode: 0o644, content }]);
    const blob = gzipSync(layer, { level: 1 });
    await upload(host, 'big', blob);
    diffIds.push(digestOf(layer));
    blobs.push({ digest: digestOf(blob), size: blob.length });
  }
  await putImage(host, 'big:1', diffIds, blobs);
}
