/**
 * From a container's LogConfig to where its output goes. Drivers now: json-file and none; the others that Docker has are
 * refused by name.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import type { JsonFileTarget } from './json-file/log-file.ts';
import { jsonFileTarget, type LogSubject, validateJsonFileOptions } from './json-file/options.ts';

/** Undefined where a container has no log (driver none). */
export type LogTarget = JsonFileTarget;

export interface LogConfig {
  /** Empty: json-file. */
  readonly type: string;
  readonly options: Readonly<Record<string, string>>;
}

const later = new Set(['local', 'syslog', 'journald', 'gelf', 'fluentd', 'awslogs', 'splunk', 'etwlogs', 'gcplogs']);

/** Refuses unknown drivers and options. Errors: invalid-parameter, not-implemented. For container create. */
export function validateLogConfig(config: LogConfig): void {
  switch (config.type) {
    case '':
    case 'json-file':
      validateJsonFileOptions(config.options);
      return;
    case 'none': {
      // As dockerd: options of another driver may stand there and have no effect.
      return;
    }
    default:
      if (later.has(config.type)) throw notImplemented(`log driver "${config.type}" is not supported yet`);
      throw invalidParameter(`logger: no log driver named '${config.type}' is registered`);
  }
}

/** Where the container's output is logged; `path` is its newest log file. */
export function logTarget(config: LogConfig, path: string, subject: LogSubject): LogTarget | undefined {
  validateLogConfig(config);
  return config.type === 'none' ? undefined : jsonFileTarget(path, config.options, subject);
}
