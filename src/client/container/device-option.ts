/** `--device` and `--security-opt`. */
import type { DeviceMapping } from '#api/types/host-config.ts';
import { messageOf } from '#errdefs/errors.ts';
import { readText } from '../files.ts';

/** `/dev/x[:/dev/y][:rwm]`. */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(':');
  const isMode = (part: string) => /^[rwm]{1,3}$/.test(part);
  const [host = '', second, third] = parts;
  if (parts.length > 3) throw new Error(`invalid device specification: ${text}`);
  const container = second === undefined || second === '' || isMode(second) ? host : second;
  const mode = third ?? (second !== undefined && isMode(second) ? second : 'rwm');
  if (!isMode(mode)) throw new Error(`bad mode specified: ${mode}`);
  if (!container.startsWith('/')) throw new Error(`${container} is not an absolute path`);
  return { PathOnHost: host, PathInContainer: container, CgroupPermissions: mode };
}

const NAMES_ALONE = new Set(['no-new-privileges', 'disable', 'writable-cgroups']);
const BUILT_IN_PROFILES = new Set(['unconfined', 'builtin']);

/**
 * A seccomp profile is a file of this machine, so its content is what is sent. `systempaths=unconfined` is no option of
 * the API but two empty lists.
 */
export function parseSecurityOptions(texts: readonly string[]): {
  readonly options: readonly string[];
  readonly unmasked: boolean;
} {
  const options: string[] = [];
  let unmasked = false;
  for (const text of texts) {
    // `name:value` is the old form.
    const [name = '', value] = (text.includes('=') ? text : text.replace(':', '=')).split(/=(.*)/s);
    if (value === undefined && !NAMES_ALONE.has(name)) throw new Error(`Invalid --security-opt: "${text}"`);
    if (text === 'systempaths=unconfined') unmasked = true;
    else if (name === 'seccomp' && value !== undefined && !BUILT_IN_PROFILES.has(value)) {
      options.push(`seccomp=${readProfile(value)}`);
    } else options.push(text);
  }
  return { options, unmasked };
}

function readProfile(path: string): string {
  let content: string;
  try {
    content = readText(path);
  } catch (error) {
    throw new Error(`opening seccomp profile (${path}) failed: ${messageOf(error)}`, { cause: error });
  }
  try {
    return JSON.stringify(JSON.parse(content));
  } catch (error) {
    throw new Error(`compacting json for seccomp profile (${path}) failed: ${messageOf(error)}`, { cause: error });
  }
}
