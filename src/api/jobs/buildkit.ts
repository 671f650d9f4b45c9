/** Jobs of BuildKit's side of the builder: sessions of clients, and builds that take their files from one. */
import { defineJob } from '#engine/engine.ts';
import type { BuildInput } from './build.ts';
import type { Connection } from './streams.ts';

export interface BuildSessionInput {
  readonly id: string;
  readonly name: string;
  readonly sharedKey: string;
  /** Paths of the gRPC methods that the client answers. */
  readonly methods: readonly string[];
  /** Becomes HTTP/2 with the engine as the client. */
  readonly connection: Connection;
}
export const buildSession = defineJob<BuildSessionInput, void>('build.session', { longLived: true });

export interface SessionBuildOutput {
  readonly type: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** `POST /build?version=2`: what the client has is asked of its session; progress goes out as BuildKit's messages. */
export interface SessionBuildInput
  extends Omit<BuildInput, 'context' | 'output' | 'format' | 'quiet' | 'remove' | 'squash' | 'binds'> {
  readonly session: string;
  /** What the client calls the directories of the context and of the Dockerfile; '' is `context` and `dockerfile`. */
  readonly contextName: string;
  readonly dockerfileName: string;
  /** Sessions that share directories, by their names, where it is not the build's own. */
  readonly directorySessions: Readonly<Record<string, string>>;
  /** Of a context that an address leads to. */
  readonly contextDirectory: string;
  readonly outputs: readonly SessionBuildOutput[];
}
export const sessionBuild = defineJob<SessionBuildInput, void>('image.session-build');

/** The context of a session's build as a tar, which the client sends beside the build (`docker build - < context.tar`). */
export const buildUpload = defineJob<{ readonly build: string; readonly tar: AsyncIterable<Uint8Array> }, void>(
  'build.upload',
);

/** `POST /grpc`: the connection becomes HTTP/2 with BuildKit's control API on it. */
export const buildControl = defineJob<{ readonly connection: Connection }, void>('build.control', { longLived: true });
