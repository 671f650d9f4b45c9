/**
 * BuildKit's Control service as tables: what buildx asks of a daemon. Numbers are
 * BuildKit's; fields that nothing here looks at are left out.
 */
import { definition } from './llb.ts';
import { method } from './session-methods.ts';
import { bool, bytes, int, int64, many, map, nested, text, texts } from '#pkg/protobuf/protobuf.ts';
import { statusResponse, timestamp } from './status-messages.ts';

export const option = { type: text(1), attrs: map(2, text) };
const cacheOptions = { exports: many(4, option), imports: many(5, option) };

export const solveRequest = {
  ref: text(1),
  definition: nested(2, definition),
  exporter: text(3),
  exporterAttrs: map(4, text),
  session: text(5),
  frontend: text(6),
  frontendAttrs: map(7, text),
  cache: nested(8, cacheOptions),
  entitlements: texts(9),
  frontendInputs: map(10, (at) => nested(at, definition)),
  /** Nothing for people: it is in no history. */
  internal: bool(11),
  exporters: many(13, option),
};

const control = (name: string) => `/moby.buildkit.v1.Control/${name}`;

export const solve = method(control('Solve'), solveRequest, { exporterResponse: map(1, text) });
export const status = method(control('Status'), { ref: text(1) }, statusResponse);

/** A session within the control connection: the bytes of one more HTTP/2. */
export const session = method(control('Session'), { data: bytes(1) }, { data: bytes(1) });

const version = { package: text(1), version: text(2), revision: text(3) };
const platform = { architecture: text(1), os: text(2), variant: text(3) };
const gcPolicy = {
  all: bool(1),
  keepDuration: int64(2),
  reservedSpace: int(3),
  filters: texts(4),
  maxUsedSpace: int(5),
  minFreeSpace: int(6),
};
export const worker = {
  id: text(1),
  labels: map(2, text),
  platforms: many(3, platform),
  gcPolicies: many(4, gcPolicy),
  version: nested(5, version),
};
export const listWorkers = method(control('ListWorkers'), { filter: texts(1) }, { record: many(1, worker) });
export const info = method(control('Info'), { unused: bool(1) }, { version: nested(1, version) });

const usageRecord = {
  id: text(1),
  mutable: bool(2),
  inUse: bool(3),
  size: int(4),
  createdAt: nested(6, timestamp),
  lastUsedAt: nested(7, timestamp),
  usageCount: int(8),
  description: text(9),
  recordType: text(10),
  shared: bool(11),
  parents: texts(12),
};
export const diskUsage = method(control('DiskUsage'), { filter: texts(1) }, { record: many(1, usageRecord) });
export const prune = method(
  control('Prune'),
  {
    filter: texts(1),
    all: bool(2),
    /** Nanoseconds. */
    keepDuration: int64(3),
    reservedSpace: int(4),
    maxUsedSpace: int(5),
    minFreeSpace: int(6),
  },
  usageRecord,
);
