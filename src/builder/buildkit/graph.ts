/**
 * BuildKit's graphs of operations (LLB) that lead to files: sources and copies between them. Clients make such of
 * definitions and contexts in repositories. Graphs that run anything are refused by who makes the files.
 */
import { createHash } from 'node:crypto';
import { invalidParameter } from '#errdefs/errors.ts';
import {
  bool,
  decode,
  int,
  many,
  map,
  type MessageOf,
  nested,
  ProtobufError,
  text,
  texts,
} from '#pkg/protobuf/protobuf.ts';
import type { Definition } from './llb.ts';

const there = {};

const copy = {
  source: text(1),
  destination: text(2),
  owner: nested(3, there),
  mode: int(4),
  contentsOfDirectory: bool(6),
  unpack: bool(7),
  makeParents: bool(8),
  wildcards: bool(9),
  allowNone: bool(10),
  include: texts(12),
  exclude: texts(13),
};

const operation = {
  inputs: many(1, { digest: text(1), index: int(2) }),
  exec: nested(2, there),
  source: nested(3, { identifier: text(1), attrs: map(2, text) }),
  file: nested(4, {
    actions: many(2, {
      input: int(1),
      second: int(2),
      output: int(3),
      copy: nested(4, copy),
      makeFile: nested(5, there),
      makeDirectory: nested(6, there),
      remove: nested(7, there),
    }),
  }),
  build: nested(5, there),
  merge: nested(6, there),
  diff: nested(7, there),
};

export type Operation = MessageOf<typeof operation>;
export type CopyAction = MessageOf<typeof copy>;

export interface Graph {
  readonly operations: ReadonlyMap<string, Operation>;
  /** What its end points to. */
  readonly result: Operation['inputs'][number];
}

const OPERATIONS_MAX = 1_000;

/** Errors: invalid-parameter. */
export function graphOf(definition: Definition): Graph {
  if (definition.operations.length > OPERATIONS_MAX) throw invalidParameter('a graph of too many operations');
  try {
    const all = definition.operations.map((bytes) => {
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      return [digest, decode(operation, bytes)] as const;
    });
    const [result] = all.at(-1)?.[1].inputs ?? [];
    if (result === undefined) throw invalidParameter('a graph without a result');
    return { operations: new Map(all), result };
  } catch (error) {
    if (error instanceof ProtobufError) throw invalidParameter('a graph that cannot be read', { cause: error });
    throw error;
  }
}

/** What it does, for refusals. */
export function kindOfOperation({ exec, source, file, build, merge, diff }: Operation): string {
  if (source !== undefined) return `the source ${JSON.stringify(source.identifier)}`;
  if (exec !== undefined) return 'exec';
  if (build !== undefined) return 'build';
  if (merge !== undefined) return 'merge';
  if (diff !== undefined) return 'diff';
  const [action] = file?.actions ?? [];
  if (action?.makeFile !== undefined) return 'mkfile';
  if (action?.makeDirectory !== undefined) return 'mkdir';
  return action?.remove === undefined ? 'an unknown operation' : 'rm';
}
