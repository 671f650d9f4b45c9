/**
 * The addresses of one IPv4 network. Pure. An address is given again as late as possible: the namespace of an ended
 * container answers for its old address until the kernel has taken it down.
 */
import { conflict, unavailable } from '#errdefs/errors.ts';
import { contains, ipv4Number, ipv4Text, type Subnet, subnetSize, subnetText } from '#libcontainer/netlink/ip.ts';

export class AddressPool {
  readonly subnet: Subnet;
  readonly #taken = new Set<number>();
  #next = 1;

  /** `reserved`: the gateway and other addresses of the bridge itself. */
  constructor(subnet: Subnet, reserved: readonly string[]) {
    this.subnet = subnet;
    this.#taken.add(0).add(subnetSize(subnet) - 1); // network and broadcast
    for (const ip of reserved) {
      if (contains(subnet, ipv4Number(ip))) this.#taken.add(this.#offset(ip));
    }
  }

  /** Addresses that are in use by endpoints, reserved ones included. */
  get used(): number {
    return this.#taken.size;
  }

  /** Errors: unavailable when all are in use. */
  allocate(): string {
    const size = subnetSize(this.subnet);
    if (this.#taken.size >= size) {
      throw unavailable(`no available IPv4 addresses on this network's address pools: ${subnetText(this.subnet)}`);
    }
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1) % size;
    const offset = this.#next;
    this.#taken.add(offset);
    this.#next = (offset + 1) % size;
    return ipv4Text(this.subnet.first + offset);
  }

  /** Takes a certain address, after a restart of the daemon. Errors: conflict when it is taken or of another network. */
  reserve(ip: string): void {
    if (!contains(this.subnet, ipv4Number(ip))) {
      throw conflict(`Cannot take address "${ip}": it is not in ${subnetText(this.subnet)}`);
    }
    const offset = this.#offset(ip);
    if (this.#taken.has(offset)) throw conflict(`Cannot take address "${ip}": Address already in use`);
    this.#taken.add(offset);
    this.#next = (offset + 1) % subnetSize(this.subnet);
  }

  /** Idempotent. Preconditions: `ip` was allocated or reserved here. */
  release(ip: string): void {
    if (contains(this.subnet, ipv4Number(ip))) this.#taken.delete(this.#offset(ip));
  }

  #offset(ip: string): number {
    return ipv4Number(ip) - this.subnet.first;
  }
}
