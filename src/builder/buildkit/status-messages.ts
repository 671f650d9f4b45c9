/** BuildKit's progress, as tables. Numbers are BuildKit's. */
import { bool, bytes, int, int64, many, nested, text, texts } from '#pkg/protobuf/protobuf.ts';

export const timestamp = { seconds: int64(1), nanos: int(2) };

export const vertex = {
  digest: text(1),
  inputs: texts(2),
  name: text(3),
  cached: bool(4),
  started: nested(5, timestamp),
  completed: nested(6, timestamp),
  error: text(7),
};

export const vertexStatus = {
  id: text(1),
  vertex: text(2),
  name: text(3),
  current: int(4),
  total: int(5),
  timestamp: nested(6, timestamp),
  started: nested(7, timestamp),
  completed: nested(8, timestamp),
};

export const vertexLog = { vertex: text(1), timestamp: nested(2, timestamp), stream: int(3), msg: bytes(4) };

const position = { line: int(1), character: int(2) };
const range = { start: nested(1, position), end: nested(2, position) };
const sourceInfo = { filename: text(1), data: bytes(2), language: text(4) };

export const vertexWarning = {
  vertex: text(1),
  level: int(2),
  short: bytes(3),
  url: text(5),
  info: nested(6, sourceInfo),
  ranges: many(7, range),
};

export const statusResponse = {
  vertexes: many(1, vertex),
  statuses: many(2, vertexStatus),
  logs: many(3, vertexLog),
  warnings: many(4, vertexWarning),
};
