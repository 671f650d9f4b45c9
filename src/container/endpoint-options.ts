/** Options of a container's connection to a network (`--network name=N,driver-opt=K=V`), by Docker's names. Pure. */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

const PREFIX = 'com.docker.network.';
const IFNAME = `${PREFIX}endpoint.ifname`;
const SYSCTLS = `${PREFIX}endpoint.sysctls`;
/** Stands for the link's name in a sysctl; docker's CLI makes small letters of it. */
const PLACEHOLDER = 'IFNAME';

type Options = Readonly<Record<string, string>>;

/** Errors: invalid-parameter naming option and value; not-implemented for one of Docker's that is not there. */
export function checkEndpointOptions(options: Options): void {
  for (const [key, value] of Object.entries(options)) {
    if (key === IFNAME) checkInterfaceName(key, value);
    else if (key === SYSCTLS) sysctlsOf(options, 'x');
    // What is not Docker's is a plugin's to understand.
    else if (key.startsWith(PREFIX)) throw notImplemented(`DriverOpts "${key}" is not supported`);
  }
}

/** As the kernel takes them, and as they can be written to a path below /proc/sys. Errors: invalid-parameter. */
export function checkInterfaceName(key: string, name: string): void {
  if (/^[^\s/:]{1,15}$/.test(name) && name !== '.' && name !== '..') return;
  throw invalidParameter(`invalid value for "${key}": "${name}": want a link name of at most 15 characters`);
}

/** The name that is asked for; undefined: any. */
export const interfaceNameOf = (options: Options | null): string | undefined => options?.[IFNAME];

export interface InterfaceSysctl {
  /** Below /proc/sys: 'net/ipv4/conf/eth0/log_martians'. */
  readonly path: string;
  readonly value: string;
}

/** `net.ipv4.conf.IFNAME.log_martians=1,…` of a link. Errors: invalid-parameter. */
export function sysctlsOf(options: Options | null, link: string): InterfaceSysctl[] {
  const text = options?.[SYSCTLS] ?? '';
  if (text === '') return [];
  return text.split(',').map((entry) => {
    const at = entry.indexOf('=');
    const parts = entry.slice(0, at).split('.');
    const named = parts.length === 5 && parts[0] === 'net' && parts[3]?.toUpperCase() === PLACEHOLDER;
    if (at < 0 || !named || !parts.every((part) => /^[a-zA-Z0-9_-]+$/.test(part))) {
      throw invalidParameter(
        `invalid endpoint sysctl "${entry}": want net.X.Y.${PLACEHOLDER}.Z=VALUE, separated by commas`,
      );
    }
    return { path: [...parts.slice(0, 3), link, ...parts.slice(4)].join('/'), value: entry.slice(at + 1) };
  });
}
