/**
 * The health of a container as dockerd decides it, without a clock or a process of its own: what a Healthcheck asks for,
 * what the result of a probe makes of the health so far, and when the next probe is due.
 *
 * Beyond Docker: probes by the engine itself (`["HTTP", url]`, `["TCP", port]`, `["GRPC", "port/service"]`, `["UNIX", path]`);
 * over TLS by `https://` and `grpcs://`.
 */
import type { HealthConfig } from '#api/types/container.ts';
import { invalidParameter } from '#errdefs/errors.ts';

export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

export interface ProbeResult {
  /** RFC 3339. */
  readonly start: string;
  readonly end: string;
  /** 0 is healthy; -1 when there is no code: not started, or ended at its limit. */
  readonly exitCode: number;
  readonly output: string;
}

export interface Health {
  readonly status: HealthStatus;
  readonly failingStreak: number;
  /** The newest `RESULTS_MAX`, oldest first. */
  readonly log: readonly ProbeResult[];
}

/** `exec`: the words of the command; a shell is put before those of CMD-SHELL when it runs. */
export type ProbeTest =
  | { readonly kind: 'exec'; readonly command: readonly string[]; readonly shell: boolean }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | {
      readonly kind: 'grpc';
      readonly tls: boolean;
      readonly host: string;
      readonly port: number;
      readonly service: string;
    }
  | { readonly kind: 'unix'; readonly path: string };

export interface HealthPlan {
  readonly test: ProbeTest;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly startPeriodMs: number;
  readonly startIntervalMs: number;
  readonly retries: number;
}

const RESULTS_MAX = 5;
/** Of a probe's output that is kept. */
export const OUTPUT_BYTES_MAX = 4096;
const NS_PER_MS = 1_000_000;
const DEFAULTS = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, startIntervalMs: 5_000, retries: 3 };

/** Undefined: there is nothing to probe (none, `["NONE"]`, or a kind that nobody knows). */
export function healthPlanOf(config: HealthConfig | null | undefined): HealthPlan | undefined {
  const test = probeTestOf(config?.Test ?? []);
  if (config === null || config === undefined || test === undefined) return undefined;
  const ms = (ns: number | undefined, or: number): number => (ns === undefined || ns === 0 ? or : ns / NS_PER_MS);
  const retries = config.Retries ?? 0;
  return {
    test,
    intervalMs: ms(config.Interval, DEFAULTS.intervalMs),
    timeoutMs: ms(config.Timeout, DEFAULTS.timeoutMs),
    startPeriodMs: ms(config.StartPeriod, DEFAULTS.startPeriodMs),
    startIntervalMs: ms(config.StartInterval, DEFAULTS.startIntervalMs),
    retries: retries <= 0 ? DEFAULTS.retries : retries,
  };
}

/** Errors: invalid-parameter for a probe of the engine that cannot be read. */
export function probeTestOf(test: readonly string[]): ProbeTest | undefined {
  const [kind, ...words] = test;
  switch (kind) {
    case 'CMD':
      return words.length === 0 ? undefined : { kind: 'exec', command: words, shell: false };
    case 'CMD-SHELL':
      return { kind: 'exec', command: words, shell: true };
    case 'HTTP':
      return { kind: 'http', url: httpUrl(oneWord(kind, words)) };
    case 'TCP':
      return { kind: 'tcp', ...address(kind, oneWord(kind, words)) };
    case 'GRPC': {
      const [, scheme = 'grpc', rest = ''] = /^(?:(grpcs?):\/\/)?(.*)$/s.exec(oneWord(kind, words)) ?? [];
      const [where = '', ...service] = rest.split('/');
      return { kind: 'grpc', tls: scheme === 'grpcs', ...address(kind, where), service: service.join('/') };
    }
    case 'UNIX': {
      const path = oneWord(kind, words);
      if (!path.startsWith('/') || Buffer.byteLength(path) > 107) throw unreadable(kind, path, 'an absolute path');
      return { kind: 'unix', path };
    }
    case undefined:
    default:
      return undefined;
  }
}

function unreadable(kind: string, text: string, wanted: string): Error {
  return invalidParameter(`invalid Healthcheck: ${kind} "${text}" is not ${wanted}`);
}

function oneWord(kind: string, words: readonly string[]): string {
  const [word] = words;
  if (word === undefined || words.length !== 1) throw unreadable(kind, words.join(' '), 'one address');
  return word;
}

function httpUrl(text: string): string {
  // '8080/health' and ':8080' mean the container itself.
  const full = /^\d+(\/|$)/.test(text)
    ? `http://127.0.0.1:${text}`
    : text.startsWith(':')
      ? `http://127.0.0.1${text}`
      : text;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || !isAddress(url.hostname)) {
    throw unreadable('HTTP', text, 'an http:// or https:// URL with an IP address or localhost');
  }
  return url.href;
}

function address(kind: string, text: string): { host: string; port: number } {
  const match = /^(?:(.*):)?(\d+)$/.exec(text);
  const host = (match?.[1] ?? '') === '' ? '127.0.0.1' : (match?.[1] ?? '').replace(/^\[(.*)\]$/, '$1');
  const port = Number(match?.[2] ?? 0);
  if (port < 1 || port > 65_535 || !isAddress(host)) {
    throw unreadable(kind, text, 'PORT or ADDRESS:PORT with an IP address or localhost');
  }
  return { host, port };
}

/** Names are not resolved: whose resolver would that be? */
function isAddress(host: string): boolean {
  const plain = host.replace(/^\[(.*)\]$/, '$1');
  return plain === 'localhost' || /^\d+\.\d+\.\d+\.\d+$/.test(plain) || /^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(plain);
}

/** Of a container that was started: the results of its last run stay to be read. */
export function startHealth(before: Health | undefined): Health {
  return { status: 'starting', failingStreak: 0, log: before?.log ?? [] };
}

/** `sinceStartMs`: from the container's start to the probe's. */
export function afterProbe(health: Health, result: ProbeResult, plan: HealthPlan, sinceStartMs: number): Health {
  const log = [...health.log.slice(1 - RESULTS_MAX), result];
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  // A container that has never been healthy may fail as often as it likes while it starts.
  if (health.status === 'starting' && sinceStartMs < plan.startPeriodMs) return { ...health, log };
  const failingStreak = health.failingStreak + 1;
  return { status: failingStreak >= plan.retries ? 'unhealthy' : health.status, failingStreak, log };
}

/** From the end of one probe (or the start of the container) to the next. */
export function nextProbeMs(status: HealthStatus, plan: HealthPlan, sinceStartMs: number): number {
  return status === 'starting' && sinceStartMs < plan.startPeriodMs ? plan.startIntervalMs : plan.intervalMs;
}

/** What was written, up to the limit; text that is no UTF-8 is made so as Go's JSON does. */
export function outputText(bytes: Uint8Array, more: boolean): string {
  const text = new TextDecoder().decode(bytes.subarray(0, OUTPUT_BYTES_MAX));
  return more || bytes.length > OUTPUT_BYTES_MAX ? `${text}...` : text;
}
