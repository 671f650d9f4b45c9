/** The two networks without anything of their own: the host's namespace, and a namespace with only its loopback. */
import { randomBytes } from 'node:crypto';
import { NetlinkSocket } from '#libcontainer/netlink/socket.ts';
import { setLinkUp } from '#libcontainer/netlink/rtnetlink.ts';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import type { Endpoint, NetworkDriver, PublishedPort } from './driver.ts';
import { containerNameservers, hostNameservers } from './nameservers.ts';

const LOOPBACK_INDEX = 1;

/** Brings up `lo` in a new namespace. */
export function loopbackUp(gate: NetworkGate): void {
  using inside = new NetlinkSocket(gate.netlink);
  inside.run(setLinkUp(LOOPBACK_INDEX));
}

export class PlainDriver implements NetworkDriver {
  readonly name: 'host' | 'none';
  readonly #networkId: string;

  constructor(name: 'host' | 'none', networkId: string) {
    this.name = name;
    this.#networkId = networkId;
  }

  async ensure(): Promise<void> {}

  async allocate(containerId: string): Promise<Endpoint> {
    const servers = hostNameservers();
    return {
      id: randomBytes(32).toString('hex'),
      networkId: this.#networkId,
      containerId,
      address: undefined,
      nameservers: this.name === 'host' ? servers : containerNameservers(servers),
    };
  }

  /** Called for a new namespace only, which the host's is not. */
  async join(_endpoint: Endpoint, gate: NetworkGate): Promise<undefined> {
    if (this.name === 'none') loopbackUp(gate);
  }

  async lead(): Promise<void> {}

  /** Ports of the host's namespace are the host's; in one without links nothing can be reached. */
  publish(): readonly PublishedPort[] {
    return [];
  }

  unpublish(): void {}

  async leave(): Promise<void> {}

  async release(_endpoint: Endpoint): Promise<void> {}

  async restore(_alive: readonly Endpoint[]): Promise<void> {}

  async remove(): Promise<void> {}

  async close(): Promise<void> {}
}
