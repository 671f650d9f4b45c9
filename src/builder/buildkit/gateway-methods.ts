/**
 * BuildKit's bridge between a client that runs the frontend itself and the daemon, as tables. buildx asks by it for the
 * build and says what of it is the result. Numbers are BuildKit's.
 */
import { bool, bytes, int, many, map, nested, text } from '#pkg/protobuf/protobuf.ts';
import { worker } from './control-methods.ts';
import { definition } from './llb.ts';
import { method, stat } from './session-methods.ts';

const bridge = (name: string) => `/moby.buildkit.v1.frontend.LLBBridge/${name}`;

/** The id of the build that a call belongs to, in its metadata. */
export const BUILD_ID = 'buildkit-controlapi-buildid';

const capability = { id: text(1), enabled: bool(2) };

/** What is not in the lists is not there: clients say so, or do without. */
export const ping = method(
  bridge('Ping'),
  { unused: bool(99) },
  { frontendCaps: many(1, capability), llbCaps: many(2, capability), workers: many(3, worker) },
);

/** `definition` is what the client sends when another build is to begin with this result. */
const reference = { id: text(1), definition: nested(2, definition) };
const result = { oldRef: text(1), ref: nested(3, reference), metadata: map(10, bytes) };

export const frontendSolve = method(
  bridge('Solve'),
  {
    definition: nested(1, definition),
    frontend: text(2),
    options: map(3, text),
    /** The client wants a result, and its reference as a message. */
    resultReturn: bool(5),
    referenceReturn: bool(6),
    /** The old way to say what is the result. */
    final: bool(10),
    exporterAttr: bytes(11),
    frontendInputs: map(13, (at) => nested(at, definition)),
  },
  { ref: text(1), result: nested(3, result) },
);

/** google.rpc.Status; its details are not looked at. */
const status = { code: int(1), message: text(2) };

export const frontendReturn = method(
  bridge('Return'),
  { result: nested(1, result), error: nested(2, status) },
  { unused: bool(99) },
);

export const readFile = method(
  bridge('ReadFile'),
  { ref: text(1), filePath: text(2), range: nested(3, { offset: int(1), length: int(2) }) },
  { data: bytes(1) },
);

export const statFile = method(bridge('StatFile'), { ref: text(1), path: text(2) }, { stat: nested(1, stat) });

/** Results are there when a Solve has answered. */
export const evaluate = method(bridge('Evaluate'), { ref: text(1) }, { unused: bool(99) });
