/**
 * Where a daemon listens, from the text of `-H`, BERTH_HOST or DOCKER_HOST. Nothing is connected here.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

export const DEFAULT_HOST = 'unix:///run/berth.sock';

/** PEM texts. */
export interface TlsMaterial {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** false: any certificate is accepted (`--tls` without `--tlsverify`). */
  readonly verify: boolean;
}

/** A daemon of another host, spoken to through that host's `docker` or `berth system dial-stdio`. */
export interface SshRemote {
  readonly hostname: string;
  readonly user: string;
  readonly port: number | undefined;
  /** Of the daemon there; '' for that host's default. */
  readonly socket: string;
}

export type HostAddress =
  | { readonly kind: 'unix'; readonly path: string; readonly shown: string }
  | { readonly kind: 'ssh'; readonly remote: SshRemote; readonly shown: string }
  | {
      readonly kind: 'tcp';
      readonly hostname: string;
      readonly port: number;
      readonly tls: TlsMaterial | undefined;
      readonly shown: string;
    };

/** What the runtime connects to by itself. */
export type ReachableAddress = Exclude<HostAddress, { readonly kind: 'ssh' }>;

const PORT = 2375;
const PORT_TLS = 2376;

export function parseHost(text: string, tls?: TlsMaterial): HostAddress {
  const shown = text.trim() === '' ? DEFAULT_HOST : text.trim();
  const [scheme, rest] = shown.includes('://') ? split(shown) : ['tcp', shown];
  switch (scheme) {
    case 'unix':
      if (rest === '') throw invalidParameter(`Cannot parse host "${shown}": no socket path`);
      return { kind: 'unix', path: rest, shown };
    case 'tcp':
    case 'http':
    case 'https':
      return tcp(shown, rest, scheme === 'https' ? (tls ?? { verify: true }) : tls);
    case 'ssh':
      return { kind: 'ssh', remote: sshRemote(shown), shown };
    case 'npipe':
    case 'fd':
      throw notImplemented(`Cannot connect to "${shown}": ${scheme}:// is not there yet`);
    default:
      throw invalidParameter(`unable to parse docker host \`${shown}\``);
  }
}

function split(text: string): readonly [string, string] {
  const at = text.indexOf('://');
  return [text.slice(0, at).toLowerCase(), text.slice(at + 3)];
}

/** `ssh://[USER@]HOST[:PORT][/SOCKET]`; what could be taken for an option of ssh is refused. */
function sshRemote(shown: string): SshRemote {
  const match = /^ssh:\/\/(?:([^@/\s:]+)@)?(\[[0-9a-fA-F:.%]+\]|[^:/@[\]\s?#]+)(?::(\d+))?(\/[^\s?#]*)?$/i.exec(shown);
  const [, user = '', hostname = '', port, socket = ''] = match ?? [];
  if (match === null || hostname.startsWith('-') || user.startsWith('-') || Number(port ?? 1) > 65535) {
    throw invalidParameter(`unable to parse docker host \`${shown}\`: want ssh://[USER@]HOST[:PORT][/SOCKET]`);
  }
  const plain = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return {
    hostname: plain,
    user,
    port: port === undefined ? undefined : Number(port),
    socket: socket === '/' ? '' : socket,
  };
}

function tcp(shown: string, rest: string, tls: TlsMaterial | undefined): HostAddress {
  const match = /^(\[[0-9a-fA-F:.%]+\]|[^:/[\]\s]*)(?::(\d+))?\/?$/.exec(rest);
  const port = match?.[2] === undefined ? (tls === undefined ? PORT : PORT_TLS) : Number(match[2]);
  if (match === null || port > 65535) throw invalidParameter(`unable to parse docker host \`${shown}\``);
  return { kind: 'tcp', hostname: match[1] === '' ? '127.0.0.1' : (match[1] ?? ''), port, tls, shown };
}
