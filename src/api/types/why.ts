/** `GET /berth/containers/{id}/why`: what ended a container, run by run. Berth's own. */

export type WhyCause =
  /** By itself with code 0. */
  | 'completed'
  /** By itself with another code. */
  | 'failed'
  /** The first process was killed for want of memory. */
  | 'oom'
  /** By a fault or abort of the program. */
  | 'crashed'
  /** By a resource limit's signal. */
  | 'limit'
  /** By a stop, restart, forced removal or shutdown. */
  | 'stopped'
  /** By a signal sent through the API. */
  | 'killed'
  /** By the engine, since it was unhealthy. */
  | 'unhealthy'
  /** By a signal that did not come through the daemon. */
  | 'signalled'
  /** The program was never executed. */
  | 'start-failed'
  /** Nobody saw how: the host went down or the monitor died. */
  | 'lost';

export interface OomFacts {
  At: string;
  /** Of whom the kernel killed; absent when its log cannot be read. */
  Process?: string;
  RssBytes?: number;
  LimitBytes?: number;
  /** The most that was in use. */
  UsageBytes?: number;
  /** How many processes of the container were killed so far in this run. */
  Kills: number;
}

export interface WhyEnding {
  StartedAt: string;
  FinishedAt: string;
  RanMs: number;
  ExitCode: number;
  /** 0: none. */
  Signal: number;
  Cause: WhyCause;
  Summary: string;
  OOM?: OomFacts;
  /** Last lines of its log, of a run that did not end well. */
  LastLines: string[];
  /** The restart policy started it again after so long. */
  RestartAfterMs?: number;
}

export interface Why {
  Id: string;
  Name: string;
  Image: string;
  /** As in the list of containers; 'removed' when it is gone. */
  Status: string;
  RestartCount: number;
  RemovedAt?: string;
  /** Newest first. */
  Endings: WhyEnding[];
}
