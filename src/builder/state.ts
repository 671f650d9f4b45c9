/** Where a stage has got to: its file system, configuration and history. Values; every step makes a new one. */
import type { HistoryEntry } from '#image/config.ts';
import type { DiffId } from '#layer/chain-id.ts';
import type { Standing } from '#layer/snapshots.ts';
import type { StageConfig } from './config.ts';
import type { StageScope } from './dockerfile/scope.ts';

/** A layer that the image gets above its base. */
export interface MadeLayer {
  readonly snapshot: string;
  /** Of its step in the cache. */
  readonly key: string;
}

export interface StageState {
  readonly on: Standing;
  /** Digest of all that led here. */
  readonly key: string;
  /** As `key`, but other stages count by how they came about and not by their files. */
  readonly origin: string;
  /** Layers at the bottom: of the base image, and of caches elsewhere above it. */
  readonly below: readonly DiffId[];
  /** How many of them are the base image's. */
  readonly baseLayers: number;
  readonly layers: readonly MadeLayer[];
  /** `layer`: the entry's own, if it made one. */
  readonly history: readonly (HistoryEntry & { readonly layer?: MadeLayer })[];
  readonly config: StageConfig;
  readonly scope: StageScope;
  readonly platform: { readonly os: string; readonly architecture: string; readonly variant: string | undefined };
  /** ISO 8601 of the newest part. */
  readonly created: string | undefined;
  /** The base image; '' for scratch. */
  readonly baseImage: string;
}
