/**
 * A route is one row: method, path pattern, minimum API version, the operation in words, and either a handler (decodes,
 * runs one job, encodes) or the reason why there is none. Every operation of the Docker API has a row, so what is not
 * there is refused by name and never looks like a wrong URL.
 */
import { type BerthError, notImplemented, unavailable } from '#errdefs/errors.ts';
import type { JobToken } from '#engine/engine.ts';
import type { Exchange } from './exchange.ts';
import type { Query } from './query.ts';

export interface RouteContext {
  readonly exchange: Exchange;
  readonly query: Query;
  /** The client's API version is 1.minor. */
  readonly minor: number;
  param(name: string): string;
  /** The JSON body; undefined when empty. Errors: invalid-parameter in dockerd's words. */
  json(): Promise<unknown>;
  /** As `json`, for operations whose body must be there. */
  jsonRequired(): Promise<unknown>;
  /** Runs a job for this caller; the job is aborted when the client goes. */
  run<Input, Output>(token: JobToken<Input, Output>, input: Input): Promise<Output>;
  /** Answers with a JSON value and a newline. */
  sendJson(status: number, value: unknown): void;
  sendEmpty(status: number): void;
}

export type Handler = (ctx: RouteContext) => Promise<void> | void;

export interface Route {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  /** '/containers/{id}/json'; '{name...}' takes several segments. */
  readonly path: string;
  /** 1.minMinor is the first API version that has it. */
  readonly minMinor: number;
  /** In words: 'list containers'. */
  readonly operation: string;
  readonly handler: Handler | undefined;
  readonly refusal?: BerthError;
  /** For docs/status.md: why it is refused. */
  readonly reason?: string;
}

type Method = Route['method'];

export function route(method: Method, path: string, minMinor: number, operation: string, handler: Handler): Route {
  return { method, path, minMinor, operation, handler };
}

/** An operation that will come. */
export function notYet(method: Method, path: string, minMinor: number, operation: string): Route {
  const refusal = notImplemented(`Cannot ${operation}: this is not there yet`);
  return { method, path, minMinor, operation, handler: undefined, refusal, reason: 'not there yet' };
}

const NO_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm ' +
  'and try again.';

/** Operations of a swarm manager, answered as by a dockerd that is in no swarm. */
export function needsSwarm(method: Method, path: string, operation: string, message = NO_MANAGER): Route {
  return {
    method,
    path,
    minMinor: 24,
    operation,
    handler: undefined,
    refusal: unavailable(message),
    reason: 'no swarm: as dockerd outside of one',
  };
}
