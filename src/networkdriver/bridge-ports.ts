/** Published ports of a bridge's endpoints: which ports of the host lead to which address, held and in the tables. */
import { writeFileSync } from 'node:fs';
import { addLoopbackRoute, setHairpin } from '#libcontainer/netlink/rtnetlink.ts';
import { isNetlinkErrno } from '#libcontainer/netlink/socket.ts';
import { unavailable } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { forgetPublished, forgetUdp, toFirewall } from './bridge-endpoint.ts';
import type { BridgeHost } from './bridge-host.ts';
import type { BridgeOptions } from './bridge-options.ts';
import { linkNameOf } from './link-name.ts';
import type { Endpoint, Families, PortRequest, PublishedPort } from './driver.ts';

const ANY4 = '0.0.0.0';
const ANY6 = '::';

type Wanted = Pick<BridgeOptions, 'bridge' | 'hostBinding' | 'mode4' | 'mode6'>;

export class BridgePorts {
  readonly #host: BridgeHost;
  readonly #options: Wanted;
  /** 127.0.0.1 and ::1 of the host lead to the bridge only once a port asks for it. */
  #loopback = false;

  constructor(host: BridgeHost, options: Wanted) {
    this.#host = host;
    this.#options = options;
  }

  publish(
    endpoint: Endpoint,
    requests: readonly PortRequest[],
    { families, index }: { readonly families: Families; readonly index: number },
  ): readonly PublishedPort[] {
    const { address, address6 } = endpoint;
    const targets = { four: families.four ? address : undefined, six: families.six ? address6 : undefined };
    const taken: PublishedPort[] = [];
    try {
      for (const request of requests) {
        for (const hostIp of this.#hostIpsOf(request.hostIp, targets.six !== undefined)) {
          const target = hostIp.includes(':') ? targets.six : targets.four;
          if (target === undefined) continue;
          const port = this.#take(request, hostIp, target.ip, taken);
          // Several ports of the host may lead to one; reached by its own address it is one.
          const known = taken.some((t) => t.hostPort === 0 && sameInside(t, port) && port.hostPort === 0);
          if (!known) taken.push(port);
        }
      }
      this.#serve(endpoint, taken);
      if (taken.some((port) => this.#isLed(port))) {
        this.#openLoopback(index, address6 !== undefined);
        this.#openHairpin(endpoint);
      }
      if (taken.some((port) => port.judged === true && this.#isLed(port))) this.#host.judge();
      this.#host.firewall.publish(toFirewall(endpoint, this.ruled(taken)));
    } catch (error) {
      for (const port of taken) this.#release(port);
      throw error;
    }
    return taken;
  }

  /** The container reaches itself by its ports of the host. */
  #openHairpin({ id }: Endpoint): void {
    try {
      this.#host.netlink.run(setHairpin(linkNameOf(id, this.#host.suffix)));
    } catch (error) {
      if (!isNetlinkErrno(error, 'ENODEV')) throw error; // it has not joined
    }
  }

  /** Rules lead from a port of the host. */
  #isLed(port: PublishedPort): boolean {
    return port.hostPort > 0 && !this.#host.isProxied(port.hostIp);
  }

  /** Those that are in the tables. */
  ruled(ports: readonly PublishedPort[]): PublishedPort[] {
    return ports.filter((port) => port.hostPort === 0 || this.#isLed(port));
  }

  /** By the proxy, where no rules lead. */
  #serve({ address, address6 }: Endpoint, ports: readonly PublishedPort[]): void {
    for (const port of ports) {
      const { protocol, hostIp, hostPort } = port;
      if (hostPort === 0 || !this.#host.isProxied(hostIp)) continue;
      const target = hostIp.includes(':') ? address6 : address;
      const socket = this.#host.ports.socketOf(port);
      if (protocol === 'sctp' || socket === undefined || target === undefined) {
        throw unavailable(`Cannot publish port ${port.port}/${protocol} without rules of the firewall`);
      }
      this.#host.proxy.open(proxyKey(port), socket, { protocol, ip: target.ip, port: port.port });
    }
  }

  rejudge(endpoint: Endpoint, before: readonly PublishedPort[], after: readonly PublishedPort[]): void {
    if (after.some((port) => port.judged === true && this.#isLed(port))) this.#host.judge();
    const [was, is] = [before, after].map((ports) => toFirewall(endpoint, this.ruled(ports)));
    this.#host.firewall.republish(was ?? [], is ?? []);
  }

  #release(port: PublishedPort): void {
    this.#host.proxy.close(proxyKey(port));
    this.#host.ports.release(port);
  }

  #take(request: PortRequest, hostIp: string, target: string, taken: readonly PublishedPort[]): PublishedPort {
    const { protocol, port } = request;
    const six = hostIp.includes(':');
    if ((six ? this.#options.mode6 : this.#options.mode4) === 'routed') {
      if (request.hostPort > 0) log.warn('a port of the host means nothing on a routed network', { ...request });
      return { protocol, hostIp: six ? ANY6 : ANY4, hostPort: 0, port };
    }
    // One port of the host for both families, when any will do.
    const same = taken.find((t) => t.port === port && t.protocol === protocol && t.hostPort > 0);
    const any = request.hostPort === 0 && request.hostIp === '' && same !== undefined;
    const wanted = any ? { ...request, hostPort: same.hostPort, hostPortEnd: same.hostPort } : request;
    return this.#host.ports.take(wanted, hostIp, target);
  }

  #hostIpsOf(hostIp: string, v6: boolean): string[] {
    if (hostIp !== '') return [hostIp];
    const { hostBinding } = this.#options;
    if (hostBinding !== undefined && hostBinding !== '') return [hostBinding];
    return v6 ? [ANY4, ANY6] : [ANY4];
  }

  /** The kernel may lead packets to 127.0.0.1 and ::1 out to this bridge; forged ones are dropped in our chain `raw`. */
  #openLoopback(index: number, v6: boolean): void {
    if (this.#loopback) return;
    const { bridge } = this.#options;
    writeFileSync(`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`, '1');
    if (v6) {
      try {
        this.#host.netlink.run(addLoopbackRoute(index));
      } catch (error) {
        if (!isNetlinkErrno(error, 'EEXIST')) throw error;
      }
    }
    this.#loopback = true;
  }

  /** The bridge was made anew: what was open to it is to be opened again. */
  reopen(index: number, v6: boolean): void {
    if (!this.#loopback) return;
    this.#loopback = false;
    this.#openLoopback(index, v6);
  }

  /** `ended`: with its container, which takes its connections along. */
  unpublish(endpoint: Endpoint, ports: readonly PublishedPort[], ended = false): void {
    this.#host.firewall.unpublish(toFirewall(endpoint, this.ruled(ports)));
    for (const port of ports) this.#release(port);
    if (!ended && ports.length > 0) forgetPublished(endpoint, ports);
    else if (ports.some(({ protocol }) => protocol === 'udp')) forgetUdp(endpoint);
  }

  /** After a restart of the daemon: the tables know already. */
  restore(endpoint: Endpoint, index: number): void {
    const { ports = [], address6 } = endpoint;
    const held = ports.filter(({ hostPort }) => hostPort > 0);
    for (const port of held) this.#host.ports.restore(port);
    try {
      this.#serve(endpoint, held);
    } catch (err) {
      log.error('published ports of a running container are not served', { container: endpoint.containerId, err });
    }
    if (held.some((port) => this.#isLed(port))) this.#openLoopback(index, address6 !== undefined);
  }
}

const sameInside = (a: PublishedPort, b: PublishedPort): boolean =>
  a.port === b.port && a.protocol === b.protocol && a.hostIp === b.hostIp;

const proxyKey = ({ protocol, hostIp, hostPort }: PublishedPort): string => `${protocol} ${hostIp} ${hostPort}`;
