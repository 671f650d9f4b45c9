/**
 * The daemon's log: one JSON object a line on stderr. `msg` is a constant, values are fields; no secrets, no
 * environment of containers. The level is read at each call so that SIGHUP can change it.
 */
export const logLevels = ['debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

let threshold = 1;

export function setLogLevel(level: LogLevel): void {
  threshold = logLevels.indexOf(level);
}

export function logLevel(): LogLevel {
  return logLevels[threshold] ?? 'info';
}

function emit(level: LogLevel, msg: string, fields: LogFields): void {
  if (logLevels.indexOf(level) < threshold) return;
  const line = JSON.stringify({ time: new Date().toISOString(), level, msg, ...fields }, (_, value: unknown) =>
    value instanceof Error ? errorText(value) : typeof value === 'bigint' ? String(value) : value,
  );
  try {
    // Loaded at the first line: `berth oci` and the CLI log nothing, and their start is short.
    process.getBuiltinModule('node:fs').writeSync(2, `${line}\n`);
  } catch {
    // stderr is gone or full (EAGAIN, EPIPE): losing a log line must not fail the work that it tells of.
  }
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
