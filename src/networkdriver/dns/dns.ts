/**
 * The embedded DNS server of containers on user networks, 127.0.0.11 as they see it: the main thread's side. Sockets are
 * made in the container's namespace and served by one Worker, which starts with the first container that needs it.
 */
import { NETFILTER_SOCKET, type SocketKind, socketsInside } from '#libcontainer/namespaces/inside.ts';
import { log } from '#pkg/log/log.ts';
import { isErrno } from '#sys/errno.ts';
import { close } from '#sys/files.ts';
import { O, SOCKET } from '#sys/numbers.ts';
import { bindSocket, listen, setsockopt, socket } from '#sys/sockets.ts';
import type { LearnedName } from '#libcontainer/firewall/egress-flow.ts';
import type { DnsCommand, DnsDenial, DnsReport } from './protocol.ts';
import { DNS_ADDRESS, rewriteDns } from './rewrite.ts';
import type { NamedNetwork, View } from './tables.ts';

/** A port that no application wants; any when one has it all the same. */
const PORT = 40_053;
const ANY_PORT = 0;
const BACKLOG = 64;
const HOST_PORT = 53;
const SO_REUSEADDR = 2;
// SOCK_NONBLOCK has the number of O_NONBLOCK.
const UDP: SocketKind = { family: SOCKET.AF_INET, type: SOCKET.DGRAM | O.NONBLOCK, protocol: 0 };
const TCP: SocketKind = { family: SOCKET.AF_INET, type: SOCKET.STREAM | O.NONBLOCK, protocol: 0 };

export class DnsServer {
  /** Told of each name that a policy refuses. */
  denied: (denial: DnsDenial) => void = () => undefined;
  readonly #served = new Set<string>();
  readonly #asked = new Map<number, (learned: readonly LearnedName[]) => void>();
  #tickets = 0;
  /** Where the host is served. */
  #hostAddress: string | undefined;
  #worker: Worker | undefined;

  /**
   * Serves a container. `namespace`: descriptor of its network namespace. Replaces what served it before. Errors: SysError
   * or NetlinkError naming what its namespace refused.
   */
  serve(container: string, namespace: number, view: View): void {
    const [udp = -1, tcp = -1, netfilter = -1] = socketsInside(namespace, [UDP, TCP, NETFILTER_SOCKET]);
    try {
      const ports = { udp: bindFree(udp), tcp: bindFree(tcp) };
      listen(tcp, BACKLOG);
      rewriteDns(netfilter, ports);
    } catch (error) {
      for (const fd of [udp, tcp]) close(fd);
      throw error;
    } finally {
      close(netfilter);
    }
    this.#served.add(container);
    this.#send({ op: 'serve', container, udp, tcp, view });
  }

  setView(container: string, view: View): void {
    if (this.#served.has(container)) this.#send({ op: 'view', container, view });
  }

  /** What names have led a container to, of those that its latest view allows. */
  learned(container: string): Promise<readonly LearnedName[]> {
    if (!this.#served.has(container)) return Promise.resolve([]);
    return this.#ask((ticket) => ({ op: 'learned', container, ticket }));
  }

  #ask(command: (ticket: number) => DnsCommand): Promise<readonly LearnedName[]> {
    const { promise, resolve } = Promise.withResolvers<readonly LearnedName[]>();
    const ticket = ++this.#tickets;
    this.#asked.set(ticket, resolve);
    this.#send(command(ticket));
    return promise;
  }

  /**
   * Serves names to the host at port 53 of one of its addresses; no longer at another. Errors: SysError when the port is
   * taken.
   */
  serveHost(address: string): void {
    if (this.#hostAddress === address) return;
    const udp = socket(UDP.family, UDP.type);
    let tcp = -1;
    try {
      bindSocket(udp, address, HOST_PORT);
      tcp = socket(TCP.family, TCP.type);
      // Connections of the daemon before us may not have ended yet.
      setsockopt(tcp, SOCKET.SOL_SOCKET, SO_REUSEADDR, 1);
      bindSocket(tcp, address, HOST_PORT);
      listen(tcp, BACKLOG);
    } catch (error) {
      for (const fd of [udp, tcp]) if (fd >= 0) close(fd);
      throw error;
    }
    this.#hostAddress = address;
    this.#send({ op: 'serve-host', udp, tcp, address });
  }

  /** The port is free when it resolves. Idempotent. */
  async endHost(): Promise<void> {
    if (this.#hostAddress === undefined) return;
    this.#hostAddress = undefined;
    await this.#ask((ticket) => ({ op: 'end-host', ticket }));
  }

  /** All networks, whenever one of them changes. */
  setNetworks(networks: readonly NamedNetwork[]): void {
    if (this.#worker !== undefined || networks.some(({ endpoints }) => endpoints.length > 0)) {
      this.#send({ op: 'networks', networks });
    }
  }

  /** Idempotent. */
  end(container: string): void {
    if (this.#served.delete(container)) this.#send({ op: 'end', container });
  }

  /** The firewall tables were emptied by others. */
  repaired(): void {
    if (this.#worker !== undefined) this.#send({ op: 'repaired' });
  }

  close(): void {
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #send(command: DnsCommand): void {
    if (this.#worker === undefined) {
      this.#worker = new Worker(new URL('./dns-worker.ts', import.meta.url));
      this.#worker.onerror = (event) => {
        log.error('the DNS worker failed', { message: event.message });
        for (const ticket of this.#asked.keys()) this.#answer(ticket, []);
      };
      // as: the Worker sends nothing else.
      this.#worker.onmessage = ({ data }) => this.#take(data as DnsReport);
      this.#worker.unref();
    }
    this.#worker.postMessage(command);
  }

  #take(report: DnsReport): void {
    if (report.kind === 'denied') this.denied(report);
    else this.#answer(report.ticket, report.learned);
  }

  #answer(ticket: number, learned: readonly LearnedName[]): void {
    this.#asked.get(ticket)?.(learned);
    this.#asked.delete(ticket);
  }
}

function bindFree(fd: number): number {
  try {
    return bindSocket(fd, DNS_ADDRESS, PORT);
  } catch (error) {
    if (!isErrno(error, 'EADDRINUSE')) throw error;
    return bindSocket(fd, DNS_ADDRESS, ANY_PORT);
  }
}
