/** What systemd and the daemon tell each other: readiness, the watchdog, and sockets made before the start. */
import { invalidParameter } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { fcntl } from '#sys/files.ts';
import { F } from '#sys/numbers.ts';
import { sendDatagram } from '#sys/sockets.ts';

type Environment = Record<string, string | undefined>;

/** Tells systemd; does nothing where nobody listens. */
export function notify(environment: Environment, state: string): void {
  const address = environment['NOTIFY_SOCKET'];
  if (address === undefined || address === '') return;
  try {
    sendDatagram(address.startsWith('@') ? `\0${address.slice(1)}` : address, Buffer.from(state));
  } catch (error) {
    log.warn('cannot notify the service manager', { err: error });
  }
}

/** Says every half of the asked time that the event loop turns; without a watchdog there is no timer at all. */
export function startWatchdog(environment: Environment): Disposable {
  const microseconds = Number(environment['WATCHDOG_USEC'] ?? '');
  const pid = environment['WATCHDOG_PID'];
  if (!(microseconds > 0) || (pid !== undefined && Number(pid) !== process.pid)) {
    return { [Symbol.dispose]: () => undefined };
  }
  const timer = setInterval(() => notify(environment, 'WATCHDOG=1'), microseconds / 2000);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const FIRST_FD = 3;
const FD_CLOEXEC = 1;

export interface InheritedSocket {
  readonly fd: number;
  readonly name: string;
}

/** The sockets that systemd made for this process; afterwards no child can take them for its own. */
export function takeInheritedSockets(environment: Environment): InheritedSocket[] {
  const forUs = Number(environment['LISTEN_PID'] ?? '') === process.pid;
  const count = forUs ? Number(environment['LISTEN_FDS'] ?? '0') : 0;
  const names = (environment['LISTEN_FDNAMES'] ?? '').split(':');
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[name];
  const sockets: InheritedSocket[] = [];
  for (let i = 0; i < count; i++) {
    fcntl(FIRST_FD + i, F.SETFD, FD_CLOEXEC);
    sockets.push({ fd: FIRST_FD + i, name: names[i] ?? '' });
  }
  return sockets;
}

/** Which of them `fd://NAME` means: all, one by number, or one by name. Errors: invalid-parameter. */
export function chooseInherited(sockets: readonly InheritedSocket[], wanted: string): readonly InheritedSocket[] {
  if (sockets.length === 0) {
    throw invalidParameter('no sockets found via socket activation: make sure the service was started by systemd');
  }
  if (wanted === '' || wanted === '*') return sockets;
  const chosen = sockets.filter((socket) => socket.name === wanted || String(socket.fd) === wanted);
  if (chosen.length === 0) throw invalidParameter(`no socket "${wanted}" found via socket activation`);
  return chosen;
}
