/** Reads the configuration file and puts it together with the command line. */
import { readFileSync } from 'node:fs';
import { BerthError, invalidParameter, kindOf, messageOf } from '#errdefs/errors.ts';
import { buildConfig, DEFAULT_CONFIG_FILE, type DaemonConfig, parseConfigFile } from './daemon-config.ts';
import type { DaemonCommandLine } from './flags.ts';
import type { ConfigValue } from './values.ts';

/** Errors: as `buildConfig`, each naming the file when it was read. */
export function loadConfig(line: DaemonCommandLine): DaemonConfig {
  const path = line.configFile ?? DEFAULT_CONFIG_FILE;
  const text = readText(path, line.configFile !== undefined);
  try {
    const file = text === undefined ? new Map<string, ConfigValue>() : parseConfigFile(text);
    return buildConfig(line.values, file);
  } catch (error) {
    if (text === undefined) throw error;
    const message = `unable to configure the daemon with file ${path}: ${messageOf(error)}`;
    throw new BerthError(kindOf(error), message, { cause: error });
  }
}

function readText(path: string, mustExist: boolean): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const missing = error instanceof Error && Reflect.get(error, 'code') === 'ENOENT';
    if (missing && !mustExist) return undefined;
    const why = missing ? 'no such file or directory' : messageOf(error);
    throw invalidParameter(`unable to configure the daemon with file ${path}: open ${path}: ${why}`, { cause: error });
  }
}
