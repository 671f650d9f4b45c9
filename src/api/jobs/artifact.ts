/** Jobs on OCI artifacts. */
import type { ArtifactCreateRequest, ArtifactInspect, ArtifactSummary } from '#api/types/artifact.ts';
import { defineJob } from '#engine/engine.ts';
import type { OutputStream } from './streams.ts';

export const artifactList = defineJob<Record<string, never>, ArtifactSummary[]>('artifact.list');
/** Errors: not-found. */
export const artifactInspect = defineJob<{ artifact: string }, ArtifactInspect>('artifact.inspect');
/** Keeps a file for an artifact that is made next. */
export const artifactUpload = defineJob<{ file: AsyncIterable<Uint8Array> }, { Digest: string; Size: number }>(
  'artifact.upload',
);
/** Errors: conflict when the name is taken; invalid-parameter. */
export const artifactCreate = defineJob<ArtifactCreateRequest, { Digest: string }>('artifact.create');
/** Errors: not-found; conflict while a container has it. */
export const artifactRemove = defineJob<{ artifact: string }, { Digest: string }>('artifact.remove');
/** The content of one file, by title or digest; '' for the only one. Errors: not-found, invalid-parameter. */
export const artifactFile = defineJob<{ artifact: string; file: string; output: OutputStream }, void>('artifact.file');
/** From a registry, and to one. Errors: not-found, unauthorized, data-loss … */
export const artifactPull = defineJob<ArtifactTransfer, void>('artifact.pull');
export const artifactPush = defineJob<ArtifactTransfer, void>('artifact.push');

export interface ArtifactTransfer {
  readonly artifact: string;
  /** X-Registry-Auth as it came. */
  readonly auth: string;
  readonly progress: OutputStream;
}
