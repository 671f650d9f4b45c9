/**
 * Opens what the configuration says the API listens on. A unix socket is bound under another name, given its group and
 * mode, and renamed into place: at no moment can somebody connect who may not, and a socket file that a killed daemon
 * left behind is replaced in one step.
 */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type Listening, type ListenOptions, listenTcp, listenUnix } from '#api/server/bun-transport.ts';
import type { Accept } from '#api/server/transport.ts';
import type { DaemonConfig } from '#config/daemon-config.ts';
import type { HostSpec } from '#config/hosts.ts';
import { conflict, invalidParameter, systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { close } from '#sys/files.ts';
import { peerCredentials, unixConnect } from '#sys/sockets.ts';
import { chooseInherited, type InheritedSocket } from './berthd-systemd.ts';

const SOCKET_MODE = 0o660;
const DEFAULT_GROUP = 'berth';

export interface Listeners extends Disposable {
  readonly addresses: readonly string[];
}

/** Errors: conflict where somebody listens already; others naming the address. What was opened is closed then. */
export async function openListeners(
  config: Pick<DaemonConfig, 'hosts' | 'group' | 'tls'>,
  accept: Accept,
  inherited: readonly InheritedSocket[],
): Promise<Listeners> {
  const options: ListenOptions = { accept, peerCredentials: credentialsOf };
  const open: Listening[] = [];
  const closeAll = () => {
    for (const listening of open) listening.stop();
  };
  try {
    for (const host of config.hosts) open.push(...(await listen(host, config, options, inherited)));
  } catch (error) {
    closeAll();
    throw error;
  }
  return { addresses: open.map((listening) => listening.address), [Symbol.dispose]: closeAll };
}

/** Nothing when there is no such address in the configuration. Errors: system naming it. */
export function openMetricsListener(
  { metricsAddress: address }: Pick<DaemonConfig, 'metricsAddress'>,
  accept: Accept,
): Disposable {
  if (address === undefined) return { [Symbol.dispose]: () => undefined };
  try {
    const listening = listenTcp(address.hostname, address.port, { accept, peerCredentials: credentialsOf });
    log.info('metrics are served', { address: listening.address });
    return { [Symbol.dispose]: () => listening.stop() };
  } catch (error) {
    throw systemError(`Cannot serve metrics on "${address.hostname}:${address.port}"`, { cause: error });
  }
}

function credentialsOf(fd: number): { uid: number; pid: number } | undefined {
  try {
    const { uid, pid } = peerCredentials(fd);
    return { uid, pid };
  } catch (error) {
    log.debug('no peer credentials', { err: error });
    return undefined;
  }
}

async function listen(
  host: HostSpec,
  config: Pick<DaemonConfig, 'group' | 'tls'>,
  options: ListenOptions,
  inherited: readonly InheritedSocket[],
): Promise<Listening[]> {
  if (host.kind === 'unix') return [openUnix(host.path, config.group, options)];
  if (host.kind === 'tcp') return [await openTcp(host, config, options)];
  const { listenInherited } = await netTransport();
  return Promise.all(chooseInherited(inherited, host.name).map((socket) => listenInherited(socket.fd, options)));
}

/** node:net and node:tls are not loaded for a daemon that needs neither. */
const netTransport = () => import('#api/server/net-transport.ts');

async function openTcp(
  host: HostSpec & { kind: 'tcp' },
  { tls }: Pick<DaemonConfig, 'tls'>,
  options: ListenOptions,
): Promise<Listening> {
  const text = `tcp://${host.hostname}:${host.port}`;
  try {
    if (!host.tls) {
      log.warn('the API is served without encryption and authentication: every user of this host can become root', {
        address: text,
      });
      return listenTcp(host.hostname, host.port, options);
    }
    const clientCa = tls.mode === 'mutual' ? readFileSync(tls.caCert) : undefined;
    const files = { cert: readFileSync(tls.cert), key: readFileSync(tls.key), clientCa };
    const { listenTls } = await netTransport();
    return await listenTls(host.hostname, host.port, files, options);
  } catch (error) {
    throw systemError(`Cannot listen on "${text}"`, { cause: error });
  }
}

function openUnix(socketPath: string, group: string | undefined, options: ListenOptions): Listening {
  refuseIfTaken(socketPath);
  const gid = groupId(group);
  mkdirSync(path.dirname(socketPath), { recursive: true });
  // Short, since a socket's path may have 107 bytes; nobody but root can connect to it under the umask of 022.
  const temporary = path.join(path.dirname(socketPath), `.b${process.pid}`);
  rmSync(temporary, { force: true });
  let listening: Listening;
  try {
    listening = listenUnix(temporary, options);
  } catch (error) {
    throw systemError(`Cannot listen on "unix://${socketPath}"`, { cause: error });
  }
  chownSync(temporary, 0, gid);
  chmodSync(temporary, SOCKET_MODE);
  renameSync(temporary, socketPath);
  const { ino } = lstatSync(socketPath);
  return {
    address: `unix://${socketPath}`,
    stop: () => {
      listening.stop();
      removeOwn(socketPath, ino);
    },
  };
}

/** Somebody may have put another socket there meanwhile. */
function removeOwn(socketPath: string, ino: number): void {
  const now = lstatSync(socketPath, { throwIfNoEntry: false });
  if (now?.ino === ino) rmSync(socketPath, { force: true });
}

function refuseIfTaken(socketPath: string): void {
  const found = lstatSync(socketPath, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket())
    throw conflict(`Cannot listen on "unix://${socketPath}": there is something else than a socket`);
  let fd: number;
  try {
    fd = unixConnect(socketPath);
  } catch {
    return;
  }
  const owner = credentialsOf(fd);
  close(fd);
  const who = owner === undefined ? 'another process' : `process ${owner.pid}`;
  throw conflict(`Cannot listen on "unix://${socketPath}": ${who} listens there`);
}

function groupId(name: string | undefined): number {
  const wanted = name ?? DEFAULT_GROUP;
  if (/^[0-9]+$/.test(wanted)) return Number(wanted);
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [group, , gid] = line.split(':');
    if (group === wanted && gid !== undefined) return Number(gid);
  }
  if (name === undefined) return 0;
  throw invalidParameter(`Cannot give the socket to group "${name}": group ${name} not found`);
}
