/** BuildKit's history of builds, as tables. Numbers are BuildKit's. */
import { bool, bytes, chunks, int, many, map, nested, text, texts } from '#pkg/protobuf/protobuf.ts';
import { option } from './control-methods.ts';
import { method } from './session-methods.ts';
import { timestamp } from './status-messages.ts';

const control = (name: string) => `/moby.buildkit.v1.Control/${name}`;

/** google.rpc.Status */
const status = { code: int(1), message: text(2), details: many(3, { url: text(1), value: bytes(2) }) };

export const historyRecord = {
  ref: text(1),
  frontend: text(2),
  frontendAttrs: map(3, text),
  exporters: many(4, option),
  error: nested(5, status),
  createdAt: nested(6, timestamp),
  completedAt: nested(7, timestamp),
  exporterResponse: map(9, text),
  generation: int(12),
  pinned: bool(14),
  cachedSteps: int(15),
  totalSteps: int(16),
  completedSteps: int(17),
  warnings: int(19),
};

export const eventTypes = { started: 0, complete: 1, deleted: 2 } as const;

export const listenBuildHistory = method(
  control('ListenBuildHistory'),
  { activeOnly: bool(1), ref: text(2), earlyExit: bool(3), filter: texts(4), limit: int(5) },
  { type: int(1), record: nested(2, historyRecord) },
);

export const updateBuildHistory = method(
  control('UpdateBuildHistory'),
  { ref: text(1), pinned: bool(2), delete: bool(3), finalize: bool(4) },
  { unused: bool(99) },
);

/** A build as it is kept: `messages` are StatusResponses. */
export const keptBuild = { record: nested(1, historyRecord), messages: chunks(2) };
