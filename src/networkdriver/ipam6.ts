/** The addresses of one IPv6 network, counted up from the first. Pure. */
import { conflict, unavailable } from '#errdefs/errors.ts';
import { contains6, ipv6Number, ipv6Text, type Subnet6, subnet6Size, subnet6Text } from '#libcontainer/netlink/ip.ts';

export class AddressPool6 {
  readonly subnet: Subnet6;
  readonly #shown: string;
  readonly #range: Subnet6;
  readonly #taken = new Set<bigint>();
  #next: bigint;

  /** `reserved`: the gateway and other addresses of the bridge itself. `shown`: what a message calls it. */
  constructor(
    subnet: Subnet6,
    reserved: readonly string[],
    range: Subnet6 = subnet,
    shown: string = subnet6Text(subnet),
  ) {
    this.subnet = subnet;
    this.#shown = shown;
    this.#range = range;
    this.#next = range.first;
    // The first is the anycast address of the routers (RFC 4291, 2.6.1).
    this.#taken.add(subnet.first);
    for (const ip of reserved) this.#taken.add(ipv6Number(ip));
  }

  /** No address is left that is given unasked. */
  get isFull(): boolean {
    const size = subnet6Size(this.#range);
    if (BigInt(this.#taken.size) < size) return false;
    let inRange = 0n;
    for (const address of this.#taken) if (contains6(this.#range, address)) inRange++;
    return inRange === size;
  }

  contains(ip: string): boolean {
    return contains6(this.subnet, ipv6Number(ip));
  }

  /** Errors: unavailable when all are in use. */
  allocate(): string {
    if (this.isFull) throw unavailable(`no available IPv6 addresses on this network's address pools: ${this.#shown}`);
    while (this.#taken.has(this.#next)) this.#advance();
    const address = this.#next;
    this.#taken.add(address);
    this.#advance();
    return ipv6Text(address);
  }

  #advance(): void {
    this.#next++;
    if (!contains6(this.#range, this.#next)) this.#next = this.#range.first;
  }

  /** Takes a certain address. Errors: conflict when it is taken or of another network. */
  reserve(ip: string): void {
    const address = ipv6Number(ip);
    if (!contains6(this.subnet, address)) {
      throw conflict(`Cannot take address "${ip}": it is not in ${subnet6Text(this.subnet)}`);
    }
    if (this.#taken.has(address)) throw conflict('Address already in use');
    this.#taken.add(address);
  }

  /** Idempotent. */
  release(ip: string): void {
    this.#taken.delete(ipv6Number(ip));
  }
}
