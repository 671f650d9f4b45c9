/** How a process gets its AppArmor profile: a line written to its own attribute, in force from the coming execve. */
import { invalidParameter } from '#errdefs/errors.ts';
import { exists, readText } from '#sys/host-files.ts';

export interface LabelWrite {
  readonly path: string;
  readonly text: string;
}

function isEnabled(): boolean {
  try {
    return readText('/sys/module/apparmor/parameters/enabled').startsWith('Y');
  } catch {
    return false;
  }
}

/** Undefined when nothing is to be written. Errors: invalid-parameter when AppArmor is off. */
export function apparmorLabel(profile: string | undefined): LabelWrite | undefined {
  if (profile === undefined || profile === '') return undefined;
  if (!isEnabled()) {
    if (profile === 'unconfined') return undefined;
    throw invalidParameter(`AppArmor profile "${profile}" is asked for, but AppArmor is not enabled on this host`);
  }
  // Since 5.1 each security module has attributes of its own; the old place belongs to whichever comes first.
  const own = '/proc/self/attr/apparmor/exec';
  return { path: exists(own) ? own : '/proc/self/attr/exec', text: `exec ${profile}` };
}
