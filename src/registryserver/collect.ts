/**
 * Garbage collection while serving. Marking is done by counting, all the time (`Catalogue.references`); a collection
 * drops what nobody names any more and removes the files that are left without a reference.
 *
 * Safe beside uploads and pushes: what is younger than the grace time stays (a blob's age is that of its last push, mount
 * or look-up, so also a push that found its layers already here is safe), and every decision is made in the same turn
 * of the loop as its effect.
 */
import * as fs from 'node:fs';
import { log } from '#pkg/log/log.ts';
import type { Repository } from './catalogue.ts';
import type { Registry } from './registry.ts';

/** Uploads that nobody goes on with. */
const UPLOAD_IDLE_MS = 24 * 3600_000;
/** Files between two turns of the loop. */
const BATCH = 200;

export interface CollectReport {
  readonly dryRun: boolean;
  /** Without a tag, when these are collected; of a cache, those that nobody asks for. */
  readonly manifests: number;
  readonly blobs: number;
  readonly bytes: number;
  readonly uploads: number;
}

export async function collect(registry: Registry, options: { readonly dryRun: boolean }): Promise<CollectReport> {
  const { dryRun } = options;
  const oldMs = registry.now - registry.options.graceMs;
  const uploads = dryRun ? 0 : await registry.uploads.sweep(registry.now - UPLOAD_IDLE_MS);
  const dropped = new Map<string, number>();
  const drop = (digest: string): unknown => dropped.set(digest, (dropped.get(digest) ?? 0) + 1);
  let manifests = 0;
  for (const repository of [...registry.catalogue.repositories()]) {
    const going = new Set(registry.options.collectUntagged ? untaggedOf(repository, oldMs) : []);
    for (const digest of registry.cache?.unusedOf(repository) ?? []) going.add(digest);
    manifests += going.size;
    for (const digest of going) {
      const record = repository.manifests.get(digest);
      for (const needed of [digest, ...(record?.blobs ?? []), ...(record?.manifests ?? [])]) drop(needed);
      if (!dryRun) registry.catalogue.deleteManifest(repository.name, digest);
    }
    for (const digest of unnamedLinks(repository, going, oldMs)) {
      drop(digest);
      if (!dryRun) registry.catalogue.unlink(repository.name, digest);
    }
  }
  const isGarbage = (digest: string): boolean =>
    registry.catalogue.references(digest) - (dryRun ? (dropped.get(digest) ?? 0) : 0) <= 0;
  const swept = await sweep(registry, oldMs, isGarbage, dryRun);
  const report = { dryRun, manifests, uploads, ...swept };
  if (!dryRun) log.info('garbage was collected', report);
  return report;
}

async function sweep(
  registry: Registry,
  oldMs: number,
  isGarbage: (digest: string) => boolean,
  dryRun: boolean,
): Promise<{ blobs: number; bytes: number }> {
  const { content } = registry.options;
  let blobs = 0;
  let bytes = 0;
  for (const [index, digest] of content.list().entries()) {
    if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
    // Asked again after each wait: a push may have taken it up meanwhile.
    if (!isGarbage(digest)) continue;
    const known = fs.statSync(content.path(digest), { throwIfNoEntry: false });
    if (known === undefined || known.mtimeMs > oldMs) continue;
    blobs += 1;
    bytes += known.size;
    if (!dryRun) registry.blobs.remove(digest);
  }
  return { blobs, bytes };
}

/** Blobs of a repository that none of its manifests names. */
function unnamedLinks(repository: Repository, going: ReadonlySet<string>, oldMs: number): string[] {
  const named = new Set<string>();
  for (const [digest, record] of repository.manifests) {
    if (!going.has(digest)) for (const blob of record.blobs) named.add(blob);
  }
  return [...repository.links].filter(([digest, atMs]) => atMs < oldMs && !named.has(digest)).map(([digest]) => digest);
}

/** What no tag leads to, neither through an index nor as something that refers to a tagged manifest. */
function untaggedOf(repository: Repository, oldMs: number): string[] {
  const live = new Set<string>();
  const queue = [...repository.tags.values()].map(({ digest }) => digest);
  for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
    if (live.has(digest)) continue;
    live.add(digest);
    queue.push(...(repository.manifests.get(digest)?.manifests ?? []), ...(repository.referrers.get(digest) ?? []));
  }
  return [...repository.manifests]
    .filter(([digest, { pushedMs }]) => !live.has(digest) && pushedMs < oldMs)
    .map(([digest]) => digest);
}
