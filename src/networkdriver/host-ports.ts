/**
 * Ports of the host that lead to containers, held by a bound socket that never listens: whoever else wants the port is
 * told that it is in use, and packets never come to the socket since they are translated before.
 */
import { systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { isErrno } from '#sys/errno.ts';
import { close } from '#sys/files.ts';
import { bindPort } from '#sys/sockets.ts';
import type { PortRequest, PublishedPort } from './driver.ts';

const keyOf = (port: Omit<PublishedPort, 'port'>): string => `${port.protocol} ${port.hostIp} ${port.hostPort}`;
const anyOf = (ip: string): string => (ip.includes(':') ? '::' : '0.0.0.0');
/** First and last of the ports that are given unasked where no socket chooses (sctp). */
const EPHEMERAL = { first: 49_153, last: 65_535 } as const;

export class HostPorts {
  /** Descriptor, or -1 of SCTP where the kernel has none. */
  readonly #held = new Map<string, number>();
  /** Whether a port's socket will listen: then ended connections must not keep the port from the next one. */
  readonly #listens: (hostIp: string) => boolean;

  constructor(listens: (hostIp: string) => boolean = () => false) {
    this.#listens = listens;
  }

  /**
   * Takes one port of the request on `hostIp`. Errors: system, in Docker's words, when it is allocated to another
   * container or in use by any process.
   */
  take(request: PortRequest, hostIp: string, target: string): PublishedPort {
    const { protocol, port } = request;
    const judged = request.judged === true ? { judged: true } : {};
    if (request.hostPort === 0) return { ...this.#takeAny(request, hostIp, target), ...judged };
    let failure: unknown;
    for (let hostPort = request.hostPort; hostPort <= request.hostPortEnd; hostPort++) {
      try {
        this.#hold({ protocol, hostIp, hostPort }, `${target}:${port}`);
        return { protocol, hostIp, hostPort, port, ...judged };
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  #takeAny({ protocol, port }: PortRequest, hostIp: string, target: string): PublishedPort {
    if (protocol !== 'sctp') {
      const bound = bindPort(protocol, hostIp, 0, this.#listens(hostIp));
      const taken = { protocol, hostIp, hostPort: bound.port };
      if (!this.#isAllocated(taken)) {
        this.#held.set(keyOf(taken), bound.fd);
        return { ...taken, port };
      }
      close(bound.fd);
    }
    for (let hostPort = EPHEMERAL.first; hostPort <= EPHEMERAL.last; hostPort++) {
      const wanted = { protocol, hostIp, hostPort };
      if (this.#isAllocated(wanted)) continue;
      this.#hold(wanted, `${target}:${port}`);
      return { ...wanted, port };
    }
    throw systemError(`Cannot publish port ${port}/${protocol}: all ports are allocated`);
  }

  /** By us: on this address, on all, or on any when all are wanted. */
  #isAllocated(port: Omit<PublishedPort, 'port'>): boolean {
    const any = anyOf(port.hostIp);
    if (this.#held.has(keyOf(port)) || this.#held.has(keyOf({ ...port, hostIp: any }))) return true;
    if (port.hostIp !== any) return false;
    const end = ` ${port.hostPort}`;
    return [...this.#held.keys()].some(
      (key) => key.startsWith(`${port.protocol} `) && key.endsWith(end) && key.includes(':') === any.includes(':'),
    );
  }

  #hold(port: Omit<PublishedPort, 'port'>, target: string): void {
    const { protocol, hostIp, hostPort } = port;
    const shown = hostIp.includes(':') ? `[${hostIp}]` : hostIp;
    if (this.#isAllocated(port)) {
      throw systemError(`Bind for ${shown}:${hostPort} failed: port is already allocated`);
    }
    try {
      this.#held.set(keyOf(port), bindPort(protocol, hostIp, hostPort, this.#listens(hostIp)).fd);
    } catch (cause) {
      if (protocol === 'sctp' && isErrno(cause, 'EPROTONOSUPPORT', 'ESOCKTNOSUPPORT')) {
        // Translated all the same: a program may bring its own.
        log.warn('the kernel has no SCTP: nobody keeps others from a published port', { hostIp, hostPort });
        this.#held.set(keyOf(port), -1);
        return;
      }
      const why = isErrno(cause, 'EADDRINUSE')
        ? 'address already in use'
        : isErrno(cause, 'EADDRNOTAVAIL')
          ? 'cannot assign requested address'
          : String(cause);
      throw systemError(`failed to bind host port for ${shown}:${hostPort}:${target}/${protocol}: ${why}`, { cause });
    }
  }

  /** The socket that holds a port; undefined where none can. */
  socketOf(port: PublishedPort): number | undefined {
    const fd = this.#held.get(keyOf(port));
    return fd === undefined || fd < 0 ? undefined : fd;
  }

  /** After a restart of the daemon: what leads to a running container stays, whoever may have taken the port meanwhile. */
  restore(port: PublishedPort): void {
    try {
      this.#hold(port, '');
    } catch (err) {
      log.warn('a published port is not ours alone any more', { ...port, err });
    }
  }

  /** Idempotent. */
  release(port: PublishedPort): void {
    const fd = this.#held.get(keyOf(port));
    this.#held.delete(keyOf(port));
    if (fd !== undefined && fd >= 0) close(fd);
  }

  close(): void {
    for (const fd of this.#held.values()) if (fd >= 0) close(fd);
    this.#held.clear();
  }
}
