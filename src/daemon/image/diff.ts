/**
 * What differs between two images: files (as `docker diff` compares them: type, owner, permissions, size, time, target of
 * a link) and the configuration. Both file systems are mounted read-only and walked by descriptors.
 */
import type { ImageDifference } from '#api/types/image-upkeep.ts';
import { isDirectory, walkTree, type WalkEntry } from '#graphdriver/walk.ts';
import type { Image } from '#image/image.ts';
import { kernelName } from '#pkg/archive/directories.ts';
import { readlinkat } from '#sys/files.ts';
import { S_IF } from '#sys/numbers.ts';
import type { Services } from '../services.ts';

const FILES_MAX = 2_000_000;
/** A directory's own time and size say only that something in it differs. */
interface Facts {
  readonly text: string;
  readonly size: number;
}

/** Errors: not-found. */
export async function diffImages(
  services: Services,
  from: string,
  to: string,
  signal: AbortSignal,
): Promise<ImageDifference> {
  const { images, layers } = services;
  const before = images.resolve(from);
  const after = images.resolve(to);
  using lease = layers.lease();
  for (const { chainId } of [before, after]) if (chainId !== undefined) lease.add(chainId);
  const mine = new Set(layers.chain(before.chainId).map((layer) => layer.chainId));
  const shared = layers.chain(after.chainId).filter((layer) => mine.has(layer.chainId));
  const files: ImageDifference['Files'] = [];
  if (before.chainId !== after.chainId) {
    const old = await factsOf(services, before, signal);
    await walk(services, after, signal, (entry) => {
      const path = nameOf(entry);
      const facts = factsOfEntry(entry);
      const known = old.get(path);
      old.delete(path);
      if (known === undefined) files.push({ Kind: 'A', Path: path, Delta: facts.size });
      else if (known.text !== facts.text) files.push({ Kind: 'C', Path: path, Delta: facts.size - known.size });
    });
    for (const [path, { size }] of old) files.push({ Kind: 'D', Path: path, Delta: -size });
    files.sort((a, b) => (a.Path < b.Path ? -1 : 1));
  }
  return {
    From: before.id,
    To: after.id,
    SharedLayers: shared.length,
    SharedSize: shared.reduce((sum, { size }) => sum + size, 0),
    Files: files,
    Config: configDifference(before, after),
  };
}

async function factsOf(services: Services, image: Image, signal: AbortSignal): Promise<Map<string, Facts>> {
  const facts = new Map<string, Facts>();
  await walk(services, image, signal, (entry) => facts.set(nameOf(entry), factsOfEntry(entry)));
  return facts;
}

async function walk(
  { layers }: Services,
  image: Image,
  signal: AbortSignal,
  visit: (entry: WalkEntry) => void,
): Promise<void> {
  if (image.chainId === undefined) return;
  using mount = layers.mount(image.chainId);
  let count = 0;
  // The dot: the last component of the path must not be a link, and a descriptor's name is one.
  await walkTree(
    `/proc/self/fd/${mount.fd}/.`,
    (entry) => {
      if (++count > FILES_MAX) throw new RangeError(`an image has more than ${FILES_MAX} files`);
      visit(entry);
    },
    { signal },
  );
}

const nameOf = ({ path }: WalkEntry): string => `/${Buffer.from(path, 'latin1').toString('utf8')}`;

function factsOfEntry(entry: WalkEntry): Facts {
  const { mode, uid, gid, size, mtimeNs, rdevMajor, rdevMinor } = entry.status;
  if (isDirectory(entry.status)) return { text: `${mode} ${uid} ${gid}`, size: 0 };
  const isLink = (mode & S_IF.MT) === S_IF.LNK;
  const target = isLink ? readlinkat(entry.directory, kernelName(entry.name)) : '';
  return { text: `${mode} ${uid} ${gid} ${size} ${mtimeNs} ${rdevMajor}:${rdevMinor} ${target}`, size };
}

function configDifference(before: Image, after: Image): ImageDifference['Config'] {
  const partsOf = ({ config, platform }: Image): Readonly<Record<string, unknown>> => ({
    Platform: `${platform.os}/${platform.architecture}`,
    ...config.config,
  });
  const old = new Map(Object.entries(partsOf(before)));
  const rows: ImageDifference['Config'] = [];
  const fresh = new Map(Object.entries(partsOf(after)));
  for (const key of new Set([...old.keys(), ...fresh.keys()])) {
    const [left, right] = [old.get(key) ?? null, fresh.get(key) ?? null];
    if (JSON.stringify(left) !== JSON.stringify(right)) rows.push({ Key: key, From: left, To: right });
  }
  return rows;
}
