/**
 * HostConfig.SecurityOpt: `no-new-privileges`, `seccomp=`, `apparmor=`, `label=disable`, `systempaths=unconfined`,
 * `writable-cgroups`, and of our own `userns=MODE`, since the docker CLI lets nothing but `--userns host` through. All else is refused by name.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import { parseUsernsMode } from './user-namespace.ts';

export interface SecurityOptions {
  readonly noNewPrivileges: boolean | undefined;
  /** 'default' (the daemon's), 'builtin', 'unconfined' or the text of a profile (the CLI sends the file's content). */
  readonly seccomp: string;
  /** undefined: the daemon's default; 'unconfined'; or a profile's name. */
  readonly apparmor: string | undefined;
  /** No path is masked or made read-only. */
  readonly systemPathsUnconfined: boolean;
  /** Whether /sys/fs/cgroup may be written; undefined: as `--privileged` says. */
  readonly writableCgroups: boolean | undefined;
  /** As HostConfig.UsernsMode. */
  readonly userns: string | undefined;
}

export function parseSecurityOptions(list: readonly string[]): SecurityOptions {
  let noNewPrivileges: boolean | undefined;
  let seccomp = 'default';
  let apparmor: string | undefined;
  let systemPathsUnconfined = false;
  let writableCgroups: boolean | undefined;
  let userns: string | undefined;
  for (const option of list) {
    const { key, value } = split(option);
    switch (key) {
      case 'no-new-privileges':
        noNewPrivileges = parseBoolean(value ?? 'true', option);
        break;
      case 'seccomp':
        if (value === undefined) throw invalidParameter(`invalid --security-opt 2: "${option}"`);
        seccomp = value === '' ? 'default' : value;
        break;
      case 'apparmor':
        if (value === undefined) throw invalidParameter(`invalid --security-opt 2: "${option}"`);
        apparmor = value;
        break;
      case 'label':
        // SELinux is not asked for yet; switching it off is true already.
        if (value === 'disable') break;
        throw notImplemented(`SecurityOpt "${option}" is not supported yet: SELinux labels`);
      case 'systempaths':
        // The docker CLI turns it into empty lists of paths; other clients leave that to us.
        if (value !== 'unconfined') throw invalidParameter(`invalid --security-opt 2: "${option}"`);
        systemPathsUnconfined = true;
        break;
      case 'userns':
        parseUsernsMode(value ?? '');
        userns = value;
        break;
      case 'writable-cgroups':
        writableCgroups = parseBoolean(value ?? 'true', option);
        break;
      default:
        throw invalidParameter(`invalid --security-opt 2: "${option}"`);
    }
  }
  return { noNewPrivileges, seccomp, apparmor, systemPathsUnconfined, writableCgroups, userns };
}

/** `key=value`; `key:value` is the older form. */
function split(option: string): { key: string; value: string | undefined } {
  const at = option.includes('=') ? option.indexOf('=') : option.indexOf(':');
  return at < 0 ? { key: option, value: undefined } : { key: option.slice(0, at), value: option.slice(at + 1) };
}

function parseBoolean(text: string, option: string): boolean {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false;
  throw invalidParameter(`invalid --security-opt 2: "${option}"`);
}
