/** The terminal of a container: a pair of its own devpts, made by descriptor (never by a path, CVE-2025-52565). */
import { systemError } from '#errdefs/errors.ts';
import { call } from '#sys/call.ts';
import { close, fchown, fstatfs, ioctl, type OwnedFd, ownedFd } from '#sys/files.ts';
import { detachedDevpts, openPty, type Pty } from '#sys/mounts.ts';
import { IOCTL, NR, O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';

const DEVPTS_SUPER_MAGIC = 0x1cd1;

export interface ConsoleSize {
  readonly height: number;
  readonly width: number;
}

export function resizeTerminal(master: number, { height, width }: ConsoleSize): void {
  ioctl(master, IOCTL.TIOCSWINSZ, new Uint8Array(Uint16Array.of(height, width, 0, 0).buffer));
}

/** Size of the terminal `fd`; undefined when it is none. */
export function terminalSize(fd: number): ConsoleSize | undefined {
  const window = new Uint16Array(4);
  const bytes = new Uint8Array(window.buffer);
  if (call(NR.ioctl, fd, IOCTL.TIOCGWINSZ, bytes) < 0) return undefined;
  const [height = 0, width = 0] = window;
  return { height, width };
}

/** A pair in `devpts`, its slave owned by `uid` (host id). The caller closes both ends. */
export function makeTerminal(devpts: number, uid: number, size: ConsoleSize | undefined): Pty {
  const pty = openPty(devpts);
  try {
    fchown(pty.slave, uid, -1);
    if (size !== undefined && size.height > 0 && size.width > 0) resizeTerminal(pty.master, size);
    return pty;
  } catch (error) {
    close(pty.master);
    close(pty.slave);
    throw systemError('Cannot make a terminal', { cause: error });
  }
}

/** The devpts of a running container, or (where it has none) one that is mounted nowhere. */
export function devptsOf(root: number): OwnedFd {
  const fd = tryOpenInRoot(root, '/dev/pts', O.RDONLY | O.DIRECTORY);
  if (fd !== undefined) {
    const found = ownedFd(fd);
    if (fstatfs(found.fd).type === DEVPTS_SUPER_MAGIC) return found;
    found[Symbol.dispose]();
  }
  return ownedFd(detachedDevpts());
}
