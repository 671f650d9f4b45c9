/**
 * The daemon's log: one JSON object a line on stderr, or pairs of key and value. `msg` is a constant, values are fields; no secrets, no
 * environment of containers. The level is read at each call so that SIGHUP can change it.
 */
export const logLevels = ['debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

export type LogFormat = 'json' | 'text';

let threshold = 1;
let format: LogFormat = 'json';

export function setLogLevel(level: LogLevel): void {
  threshold = logLevels.indexOf(level);
}

/** `text` is what logrus writes where there is no terminal, as dockerd's log. */
export function setLogFormat(wanted: LogFormat): void {
  format = wanted;
}

export function logLevel(): LogLevel {
  return logLevels[threshold] ?? 'info';
}

function emit(level: LogLevel, msg: string, fields: LogFields): void {
  if (logLevels.indexOf(level) < threshold) return;
  const entry = { time: new Date().toISOString(), level, msg, ...fields };
  const line = format === 'json' ? JSON.stringify(entry, plain) : textLine(entry);
  try {
    // Loaded at the first line: `berth oci` and the CLI log nothing, and their start is short.
    process.getBuiltinModule('node:fs').writeSync(2, `${line}\n`);
  } catch {
    // stderr is gone or full (EAGAIN, EPIPE): losing a log line must not fail the work that it tells of.
  }
}

const plain = (_: string, value: unknown): unknown =>
  value instanceof Error ? errorText(value) : typeof value === 'bigint' ? String(value) : value;

function textLine(entry: LogFields): string {
  const pairs = Object.entries(entry).map(([key, value]) => {
    const text = typeof value === 'string' ? value : (JSON.stringify(value, plain) ?? '');
    const shown = typeof value === 'object' && text.startsWith('"') ? text.slice(1, -1) : text;
    return `${key}=${/^[\w./@^+-]+$/.test(shown) ? shown : JSON.stringify(shown)}`;
  });
  return pairs.join(' ');
}

function errorText(error: Error): string {
  const cause = error.cause instanceof Error ? `: ${errorText(error.cause)}` : '';
  return error.message + cause;
}

export const log = {
  debug: (msg: string, fields: LogFields = {}) => emit('debug', msg, fields),
  info: (msg: string, fields: LogFields = {}) => emit('info', msg, fields),
  warn: (msg: string, fields: LogFields = {}) => emit('warn', msg, fields),
  error: (msg: string, fields: LogFields = {}) => emit('error', msg, fields),
};
