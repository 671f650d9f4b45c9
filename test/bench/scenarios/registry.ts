/**
 * Pull and push through Debian's docker-registry on 127.0.0.1: the large image, a second one that shares five of its six
 * layers, a push to an empty registry, and how long `_ping` takes meanwhile. The images are put there over HTTP, by no
 * engine.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { tar } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestRegistry } from '../../support/registry.ts';
import type { Engine } from '../engine.ts';
import { largeLayers } from '../images.ts';
import { type Round, type Scenario, timed } from '../scenario.ts';

const VARIANT = 90;
const PING_EVERY_MS = 2;
const DOCKER = 'application/vnd.docker';

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

/** Records the p99 of a request every few milliseconds while `work` runs. */
async function pinged({ engine, recorder }: Round, what: string, work: () => Promise<void>): Promise<void> {
  if (engine.socket === undefined) return work();
  const stop = new AbortController();
  const latencies = ping(engine, stop.signal);
  try {
    await work();
  } finally {
    stop.abort();
  }
  const sorted = (await latencies).sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? 0;
  recorder.add(`GET _ping during ${what}: p99`, engine.name, at(0.99), 'ms');
}

async function ping(engine: Engine, signal: AbortSignal): Promise<number[]> {
  const latencies: number[] = [];
  while (!signal.aborted) {
    const started = performance.now();
    const response = await fetch('http://bench/_ping', { unix: engine.socket ?? '' });
    await response.text();
    latencies.push(performance.now() - started);
    await Bun.sleep(PING_EVERY_MS);
  }
  return latencies;
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function publish(
  host: string,
  name: string,
  layers: readonly Uint8Array[],
  blobs: readonly Buffer[],
): Promise<void> {
  const repository = name.replace(/:.*/, '');
  for (const blob of blobs) await upload(host, repository, blob);
  const described = blobs.map((blob) => ({ digest: digestOf(blob), size: blob.length }));
  await putImage(host, name, layers.map(digestOf), described);
}

async function putImage(
  host: string,
  name: string,
  diffIds: readonly string[],
  layers: readonly { readonly digest: string; readonly size: number }[],
): Promise<void> {
  const [repository = '', tag = ''] = name.split(':');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: { Cmd: ['sh'] }, rootfs }));
  await upload(host, repository, config);
  const manifest = {
    schemaVersion: 2,
    mediaType: `${DOCKER}.distribution.manifest.v2+json`,
    config: { mediaType: `${DOCKER}.container.image.v1+json`, digest: digestOf(config), size: config.length },
    layers: layers.map((layer) => ({ mediaType: `${DOCKER}.image.rootfs.diff.tar.gzip`, ...layer })),
  };
  const response = await fetch(`http://${host}/v2/${repository}/manifests/${tag}`, {
    method: 'PUT',
    headers: { 'Content-Type': manifest.mediaType },
    body: JSON.stringify(manifest),
  });
  if (response.status !== 201) throw new Error(`the manifest of ${name}: ${response.status} ${await response.text()}`);
}

async function upload(host: string, repository: string, blob: Buffer): Promise<void> {
  const begun = await fetch(`http://${host}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
  const place = new URL(begun.headers.get('location') ?? '', `http://${host}`);
  place.searchParams.set('digest', digestOf(blob));
  const response = await fetch(place, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/octet-stream' },
    // as: `BodyInit` wants memory that is not shared, which this is not.
    body: blob as Uint8Array<ArrayBuffer>,
  });
  if (response.status !== 201) throw new Error(`a blob of ${repository}: ${response.status} ${await response.text()}`);
}

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
