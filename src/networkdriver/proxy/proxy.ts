/**
 * Published ports without rules (`iptables: false`): a Worker takes what comes to the port's own socket to the container,
 * which sees the host's address as its client's. It works while the daemon does.
 */
import { log } from '#pkg/log/log.ts';
import { dup, close } from '#sys/files.ts';
import { listen } from '#sys/sockets.ts';

const BACKLOG = 512;
const LOWEST_FD = 3;

export interface ProxyTarget {
  readonly protocol: 'tcp' | 'udp';
  readonly ip: string;
  readonly port: number;
}

/** What the main thread tells the Worker. */
export type ProxyCommand =
  | { readonly op: 'open'; readonly key: string; readonly fd: number; readonly target: ProxyTarget }
  | { readonly op: 'close'; readonly key: string };

export class PortProxy {
  #worker: Worker | undefined;
  readonly #open = new Set<string>();

  /** `fd`: a socket that is bound to the port; it stays the caller's. Errors: SysError EADDRINUSE. */
  open(key: string, fd: number, target: ProxyTarget): void {
    if (target.protocol === 'tcp') listen(fd, BACKLOG);
    this.#send({ op: 'open', key, fd: dup(fd, LOWEST_FD), target });
    this.#open.add(key);
  }

  /** Idempotent. */
  close(key: string): void {
    if (this.#open.delete(key)) this.#send({ op: 'close', key });
  }

  #send(command: ProxyCommand): void {
    if (this.#worker === undefined) {
      this.#worker = new Worker(new URL('./proxy-worker.ts', import.meta.url));
      this.#worker.addEventListener('error', (event) => {
        log.error('the proxy of published ports has ended', { err: event.message });
      });
      this.#worker.unref();
    }
    try {
      this.#worker.postMessage(command);
    } catch (error) {
      if (command.op === 'open') close(command.fd);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }
}
