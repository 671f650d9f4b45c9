/**
 * BuildKit's graphs of operations, as far as they stand for a result of ours: one source with a name that only this
 * daemon knows, and the end that points to it. Clients carry such a graph from one build to the next and do not look
 * into it; every other graph is refused.
 */
import { createHash } from 'node:crypto';
import {
  bool,
  chunks,
  decode,
  encode,
  int,
  many,
  map,
  type MessageOf,
  nested,
  ProtobufError,
  text,
} from '#pkg/protobuf/protobuf.ts';

export const definition = { operations: chunks(1), metadata: map(2, (at) => nested(at, { ignoreCache: bool(1) })) };

export type Definition = MessageOf<typeof definition>;

const SCHEME = 'berth-result://';

const operation = {
  inputs: many(1, { digest: text(1), index: int(2) }),
  source: nested(3, { identifier: text(1) }),
};

export function definitionOf(result: string): Definition {
  const source = encode(operation, { source: { identifier: `${SCHEME}${result}` } });
  const end = encode(operation, { inputs: [{ digest: digestOf(source), index: 0 }] });
  // Clients want to see something about every operation, if only that there is nothing to say.
  const metadata = new Map([source, end].map((bytes) => [digestOf(bytes), { ignoreCache: false }]));
  return { operations: [source, end], metadata };
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

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
