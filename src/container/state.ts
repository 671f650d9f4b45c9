/**
 * States of a container and the one table of transitions between them. Verbs ask `can` before they act; every change of
 * a record's status goes through `moveTo`, so that a state that is not in the table is a programmer's error, not data.
 */
import { conflict } from '#errdefs/errors.ts';

export const containerStatuses = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'] as const;
export type ContainerStatus = (typeof containerStatuses)[number];

/** Live and past facts of a container's first process. Times are RFC 3339; '' means never. */
export interface ContainerState {
  readonly status: ContainerStatus;
  readonly pid: number;
  /** Start time of `pid` in clock ticks since boot, as decimal digits. */
  readonly startTicks: string;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt: string;
  readonly finishedAt: string;
}

export const newState: ContainerState = {
  status: 'created',
  pid: 0,
  startTicks: '',
  exitCode: 0,
  error: '',
  oomKilled: false,
  startedAt: '',
  finishedAt: '',
};

/** From → to. A failed start leaves the status as it was, with an error and an exit code. */
export const transitions: Readonly<Record<ContainerStatus, readonly ContainerStatus[]>> = {
  created: ['created', 'running', 'removing'],
  running: ['running', 'paused', 'restarting', 'exited', 'removing'],
  paused: ['running', 'restarting', 'exited', 'removing'],
  restarting: ['running', 'restarting', 'exited', 'removing'],
  exited: ['running', 'exited', 'removing'],
  removing: ['removing', 'dead'],
  dead: ['removing', 'dead'],
};

/** The state after a change; `change.status` must be reachable. */
export function moveTo(state: ContainerState, change: Partial<ContainerState>): ContainerState {
  const to = change.status ?? state.status;
  if (!transitions[state.status].includes(to)) {
    throw conflict(`A container cannot go from "${state.status}" to "${to}"`);
  }
  return { ...state, ...change };
}

export type Verb = 'start' | 'stop' | 'kill' | 'exec' | 'pause' | 'unpause' | 'remove' | 'attach';

const allowed: Readonly<Record<Verb, readonly ContainerStatus[]>> = {
  start: ['created', 'exited', 'restarting'],
  stop: ['running', 'paused', 'restarting'],
  kill: ['running', 'paused'],
  exec: ['running'],
  pause: ['running'],
  unpause: ['paused'],
  remove: ['created', 'exited', 'dead', 'removing'],
  attach: ['created', 'running', 'exited'],
};

export function can(state: ContainerState, verb: Verb): boolean {
  return allowed[verb].includes(state.status);
}

/** A process is there (perhaps frozen). */
export function isRunning(state: ContainerState): boolean {
  return state.status === 'running' || state.status === 'paused';
}

/** What the API calls running: a container between two attempts of its restart policy counts. */
export function isRunningOrRestarting(state: ContainerState): boolean {
  return isRunning(state) || state.status === 'restarting';
}
