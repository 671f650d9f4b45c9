/**
 * Labels of a container that ask for what Docker's API has no field for. Any client can send them, a Compose file too;
 * `berth run` has flags for them.
 */
import type { RestartBackoff } from '#api/types/container.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import { checkNetworkPolicy } from './network-policy.ts';

/** `none`, `restart`, `stop` or `kill`, as podman's --health-on-failure. */
export const HEALTH_ON_FAILURE_LABEL = 'berth.health.on-failure';
/** `FIRST[,max=MAX][,factor=N][,reset=AFTER]`: `1s,max=30s,factor=3,reset=1m`. */
export const RESTART_BACKOFF_LABEL = 'berth.restart.backoff';

type Labels = Readonly<Record<string, string>> | null | undefined;

const actions = ['none', 'restart', 'stop', 'kill'] as const;
export type HealthAction = (typeof actions)[number];

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** A container that has run for so long begins anew. */
  readonly resetMs: number;
}

/** dockerd's. */
export const DEFAULT_BACKOFF: Backoff = { firstMs: 100, maxMs: 60_000, factor: 2, resetMs: 10_000 };

/** Errors: invalid-parameter, for a label that says what nobody can do. */
export function checkExtensionLabels(labels: Labels): void {
  const action = labels?.[HEALTH_ON_FAILURE_LABEL];
  if (action !== undefined && parseAction(action) === undefined) {
    throw invalidParameter(
      `invalid label ${HEALTH_ON_FAILURE_LABEL}=${action}: it must be one of ${actions.join(', ')}`,
    );
  }
  const backoff = labels?.[RESTART_BACKOFF_LABEL];
  if (backoff !== undefined) parseBackoff(backoff);
  checkNetworkPolicy(labels, 'label');
}

function parseAction(text: string): HealthAction | undefined {
  return actions.find((action) => action === text);
}

/** One that cannot be read (of an older daemon) does nothing. */
export function healthOnFailureOf(labels: Labels): HealthAction {
  return parseAction(labels?.[HEALTH_ON_FAILURE_LABEL] ?? 'none') ?? 'none';
}

/** Errors: invalid-parameter. */
export function parseBackoff(text: string): Backoff {
  const refused = (why: string): Error => invalidParameter(`invalid label ${RESTART_BACKOFF_LABEL}=${text}: ${why}`);
  const duration = (value: string): number => {
    try {
      return Number(parseDuration(value) / 1_000_000n);
    } catch (error) {
      throw refused(messageOf(error));
    }
  };
  const [first = '', ...options] = text.split(',');
  let backoff: Backoff = { ...DEFAULT_BACKOFF, firstMs: duration(first) };
  for (const option of options) {
    const [key, value = ''] = option.split('=');
    if (key === 'max') backoff = { ...backoff, maxMs: duration(value) };
    else if (key === 'reset') backoff = { ...backoff, resetMs: duration(value) };
    else if (key === 'factor' && /^\d+(\.\d+)?$/.test(value)) backoff = { ...backoff, factor: Number(value) };
    else throw refused(`unknown option "${option}"`);
  }
  // A restart at once for ever would be a busy loop.
  if (backoff.firstMs < 1) throw refused('the first wait is at least 1ms');
  if (backoff.factor < 1) throw refused('the factor is at least 1');
  return { ...backoff, maxMs: Math.max(backoff.maxMs, backoff.firstMs) };
}

/** dockerd's where nothing, or nothing readable, is said. What an update says wins over the label. */
export function backoffOf(labels: Labels, updated: RestartBackoff | undefined): Backoff {
  const said = readBackoff(labels?.[RESTART_BACKOFF_LABEL]);
  if (updated === undefined) return said;
  const firstMs = updated.FirstMs ?? said.firstMs;
  return {
    ...said,
    firstMs,
    maxMs: Math.max(firstMs, updated.MaxMs ?? said.maxMs),
    resetMs: updated.SteadyAfterMs ?? said.resetMs,
  };
}

function readBackoff(text: string | undefined): Backoff {
  if (text === undefined) return DEFAULT_BACKOFF;
  try {
    return parseBackoff(text);
  } catch {
    return DEFAULT_BACKOFF;
  }
}
