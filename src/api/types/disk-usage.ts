/** `GET /system/df` and the answers of the prunes on the wire, Docker API ≤ 1.51. null: not asked for, or nothing. */
import type { BuildCache } from './build.ts';
import type { ContainerSummary } from './container.ts';
import type { ImageDeleteItem, ImageSummary } from './image.ts';
import type { Volume } from './volume.ts';

export interface DiskUsage {
  LayersSize: number;
  Images: ImageSummary[] | null;
  Containers: ContainerSummary[] | null;
  Volumes: Volume[] | null;
  BuildCache: BuildCache[] | null;
  /** API < 1.42. */
  BuilderSize?: number;
}

export interface ContainersPruneResponse {
  ContainersDeleted: string[] | null;
  SpaceReclaimed: number;
}

export interface ImagesPruneResponse {
  ImagesDeleted: ImageDeleteItem[] | null;
  SpaceReclaimed: number;
}

export interface BuildPruneResponse {
  CachesDeleted: string[] | null;
  SpaceReclaimed: number;
}
