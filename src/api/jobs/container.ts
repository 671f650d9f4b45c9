/** Jobs on containers and exec'd processes. Inputs are decoded requests; outputs are wire types. */
import type {
  ContainerChange,
  ContainerCreateRequest,
  ContainerCreateResponse,
  ContainerInspect,
  ContainerPathStat,
  ContainerSummary,
  ContainerWaitResponse,
} from '#api/types/container.ts';
import type { ContainerUpdateRequest, ContainerUpdateResponse } from '#api/types/update.ts';
import type { ExecCreateRequest, ExecInspect, ExecStartRequest } from '#api/types/exec.ts';
import type { Why } from '#api/types/why.ts';
import type { BodyInput } from '#pkg/http-body/lent.ts';
import { defineJob } from '#engine/engine.ts';
import type { Connection, OutputStream } from './streams.ts';

/** `filters` of a list request: key → values, already decoded from either JSON form. */
export type Filters = ReadonlyMap<string, readonly string[]>;

export interface CreateInput {
  /** Without the leading slash; empty: the daemon chooses one. */
  readonly name: string;
  readonly platform: string;
  readonly request: ContainerCreateRequest;
}
export const containerCreate = defineJob<CreateInput, ContainerCreateResponse>('container.create');

export interface ListInput {
  readonly all: boolean;
  readonly limit: number;
  readonly size: boolean;
  readonly filters: Filters;
}
export const containerList = defineJob<ListInput, ContainerSummary[]>('container.list');
export const containerInspect = defineJob<{ container: string; size: boolean }, ContainerInspect>('container.inspect');

/** `container` is an id, a unique prefix or a name. Errors: not-found `No such container: X`; not-modified when running. */
export const containerStart = defineJob<{ container: string; detachKeys: string }, void>('container.start');
/** `timeoutSeconds` undefined: the container's own StopTimeout, else 10; -1: for ever. not-modified when not running. */
export const containerStop = defineJob<{ container: string; signal: string; timeoutSeconds: number | undefined }, void>(
  'container.stop',
);
export const containerRestart = defineJob<
  { container: string; signal: string; timeoutSeconds: number | undefined },
  void
>('container.restart');
/** `signal` by name with or without SIG, or number; empty: KILL. Errors: conflict when not running. */
export const containerKill = defineJob<{ container: string; signal: string }, void>('container.kill');
export type WaitCondition = 'not-running' | 'next-exit' | 'removed';
/** `accepted` is called when the waiter stands (the server sends its head then: clients start the container after it). */
export const containerWait = defineJob<
  { container: string; condition: WaitCondition; accepted: () => void },
  ContainerWaitResponse
>('container.wait', { longLived: true });
export const containerRemove = defineJob<{ container: string; force: boolean; volumes: boolean; link: boolean }, void>(
  'container.remove',
);
export const containerUpdate = defineJob<
  { container: string; request: ContainerUpdateRequest },
  ContainerUpdateResponse
>('container.update');
/** Errors: conflict when it does not run or is paused already. */
export const containerPause = defineJob<{ container: string }, void>('container.pause');
export const containerUnpause = defineJob<{ container: string }, void>('container.unpause');
export const containerWhy = defineJob<{ container: string }, Why>('container.why');
export const containerRename = defineJob<{ container: string; name: string }, void>('container.rename');
export const containerResize = defineJob<{ container: string; height: number; width: number }, void>(
  'container.resize',
);
export interface LogsInput {
  readonly container: string;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly follow: boolean;
  /** Nanoseconds since the epoch; 0n: no bound. */
  readonly since: bigint;
  readonly until: bigint;
  readonly timestamps: boolean;
  readonly details: boolean;
  /** Lines from the end; -1: all. */
  readonly tail: number;
  /** The stock CLI takes many lines in one frame; other clients get one frame a line. */
  readonly mergeFrames: boolean;
  /** Called once before output with whether the container has a tty. */
  readonly open: (tty: boolean) => OutputStream;
}
/** `logs --grep`. */
export interface LogsSearchInput {
  /** Names or ids; none: every container, also those that are gone as far as their logs are kept. */
  readonly containers: readonly string[];
  /** A regular expression. */
  readonly pattern: string;
  /** Nanoseconds since the epoch; 0n: no bound. */
  readonly since: bigint;
  readonly until: bigint;
  /** Called once, when the request is known to be right; lines of JSON (LogMatch) are written. */
  readonly open: () => OutputStream;
}
export const logsSearch = defineJob<LogsSearchInput, void>('logs.search', { longLived: true });
export const containerLogs = defineJob<LogsInput, void>('container.logs', { longLived: true });
export interface AttachInput {
  readonly container: string;
  readonly stream: boolean;
  readonly logs: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly detachKeys: string;
  readonly connection: Connection;
}
export const containerAttach = defineJob<AttachInput, void>('container.attach', { longLived: true });
export const containerTop = defineJob<
  { container: string; psArgs: string },
  { Titles: string[]; Processes: string[][] }
>('container.top');

export const execCreate = defineJob<{ container: string; request: ExecCreateRequest }, { Id: string }>('exec.create');
export interface ExecStartInput {
  readonly exec: string;
  readonly request: ExecStartRequest;
  /** Absent when the request says Detach. */
  readonly connection: Connection | undefined;
}
export const execStart = defineJob<ExecStartInput, void>('exec.start', { longLived: true });
export const execInspect = defineJob<{ exec: string }, ExecInspect>('exec.inspect');
export const execResize = defineJob<{ exec: string; height: number; width: number }, void>('exec.resize');

export interface ArchiveGetInput {
  readonly container: string;
  readonly path: string;
  /** Called once before output. */
  readonly open: (stat: ContainerPathStat) => OutputStream;
}
export const containerArchiveStat = defineJob<{ container: string; path: string }, ContainerPathStat>(
  'container.archive-stat',
);
export const containerArchiveGet = defineJob<ArchiveGetInput, void>('container.archive-get');
export interface ArchivePutInput {
  readonly container: string;
  readonly path: string;
  readonly noOverwriteDirNonDir: boolean;
  /** Everything becomes the container's user's. */
  readonly copyUidGid: boolean;
  readonly archive: BodyInput;
}
export const containerArchivePut = defineJob<ArchivePutInput, void>('container.archive-put');
export const containerChanges = defineJob<{ container: string }, ContainerChange[]>('container.changes');
export const containerExport = defineJob<{ container: string; output: OutputStream }, void>('container.export');
