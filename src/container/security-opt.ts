/** HostConfig.SecurityOpt: `no-new-privileges`, `seccomp=`, `apparmor=`, `label=disable`; all else is refused by name. */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

export interface SecurityOptions {
  readonly noNewPrivileges: boolean | undefined;
  /** 'default', 'unconfined' or the text of a profile (the CLI sends the file's content). */
  readonly seccomp: string;
  /** undefined: the daemon's default; 'unconfined'; or a profile's name. */
  readonly apparmor: string | undefined;
}

export function parseSecurityOptions(list: readonly string[]): SecurityOptions {
  let noNewPrivileges: boolean | undefined;
  let seccomp = 'default';
  let apparmor: string | undefined;
  for (const option of list) {
    const { key, value } = split(option);
    switch (key) {
      case 'no-new-privileges':
        noNewPrivileges = parseBoolean(value ?? 'true', option);
        break;
      case 'seccomp':
        if (value === undefined) throw invalidParameter(`invalid --security-opt 2: "${option}"`);
        seccomp = value === 'builtin' || value === '' ? 'default' : value;
        break;
      case 'apparmor':
        if (value === undefined) throw invalidParameter(`invalid --security-opt 2: "${option}"`);
        apparmor = value;
        break;
      case 'label':
        // SELinux is not asked for yet; switching it off is true already.
        if (value === 'disable') break;
        throw notImplemented(`SecurityOpt "${option}" is not supported yet: SELinux labels`);
      case 'writable-cgroups':
      case 'systempaths':
        throw notImplemented(`SecurityOpt "${option}" is not supported yet`);
      default:
        throw invalidParameter(`invalid --security-opt 2: "${option}"`);
    }
  }
  return { noNewPrivileges, seccomp, apparmor };
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
