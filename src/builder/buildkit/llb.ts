/**
 * BuildKit's graphs of operations, as far as they stand for a result of ours: one source with a name that only this
 * daemon knows, and the end that points to it. Clients carry such a graph from one build to the next and do not look
 * into it; every other graph is refused.
 */
import { createHash } from 'node:crypto';
import {
  chunks,
  decode,
  encode,
  int,
  many,
  type MessageOf,
  nested,
  ProtobufError,
  text,
} from '#pkg/protobuf/protobuf.ts';

export const definition = { operations: chunks(1) };

export type Definition = MessageOf<typeof definition>;

const SCHEME = 'berth-result://';

const operation = {
  inputs: many(1, { digest: text(1), index: int(2) }),
  source: nested(3, { identifier: text(1) }),
};

export function definitionOf(result: string): Definition {
  const source = encode(operation, { source: { identifier: `${SCHEME}${result}` } });
  const digest = `sha256:${createHash('sha256').update(source).digest('hex')}`;
  return { operations: [source, encode(operation, { inputs: [{ digest, index: 0 }] })] };
}

/** The result that a graph stands for; undefined for every other graph. */
export function resultOf({ operations }: Definition): string | undefined {
  const [first] = operations;
  if (first === undefined || operations.length !== 2) return undefined;
  try {
    const identifier = decode(operation, first).source?.identifier ?? '';
    return identifier.startsWith(SCHEME) ? identifier.slice(SCHEME.length) : undefined;
  } catch (error) {
    if (error instanceof ProtobufError) return undefined;
    throw error;
  }
}
