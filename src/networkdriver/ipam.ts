/**
 * The addresses of one network. Pure. An address is given again as late as possible: the namespace of an ended
 * container answers for its old address until the kernel has taken it down.
 */
import { conflict, unavailable } from '#errdefs/errors.ts';
import { contains, ipv4Number, ipv4Text, type Subnet, subnetSize, subnetText } from '#libcontainer/netlink/ip.ts';

export class AddressPool {
  readonly subnet: Subnet;
  readonly #taken = new Set<number>();
  /** Offsets that are given unasked: of the range (--ip-range), else of the whole network. */
  readonly #from: number;
  readonly #count: number;
  #next: number;
  #free: number;

  /** What a message calls it. */
  readonly #shown: string;

  /** `reserved`: the gateway and other addresses of the bridge itself. */
  constructor(subnet: Subnet, reserved: readonly string[], range: Subnet = subnet, shown: string = subnetText(subnet)) {
    this.subnet = subnet;
    this.#shown = shown;
    this.#from = range.first - subnet.first;
    this.#count = subnetSize(range);
    this.#next = this.#from;
    this.#free = this.#count;
    if (subnet.prefixLength < 31) {
      this.#take(0); // the network's own address
      this.#take(subnetSize(subnet) - 1); // broadcast
    }
    for (const ip of reserved) {
      if (contains(subnet, ipv4Number(ip)) && !this.#taken.has(this.#offset(ip))) this.#take(this.#offset(ip));
    }
  }

  /** Addresses that are in use by endpoints, reserved ones included. */
  get used(): number {
    return this.#taken.size;
  }

  /** No address is left that is given unasked. */
  get isFull(): boolean {
    return this.#free === 0;
  }

  contains(ip: string): boolean {
    return contains(this.subnet, ipv4Number(ip));
  }

  /** Errors: unavailable when all are in use. */
  allocate(): string {
    if (this.isFull) {
      throw unavailable(`no available IPv4 addresses on this network's address pools: ${this.#shown}`);
    }
    while (this.#taken.has(this.#next)) this.#advance();
    const offset = this.#next;
    this.#take(offset);
    this.#advance();
    return ipv4Text(this.subnet.first + offset);
  }

  #advance(): void {
    this.#next = this.#from + ((this.#next - this.#from + 1) % this.#count);
  }

  #inRange(offset: number): boolean {
    return offset >= this.#from && offset < this.#from + this.#count;
  }

  #take(offset: number): void {
    this.#taken.add(offset);
    if (this.#inRange(offset)) this.#free--;
  }

  /** Takes a certain address, after a restart of the daemon. Errors: conflict when it is taken or of another network. */
  reserve(ip: string): void {
    if (!contains(this.subnet, ipv4Number(ip))) {
      throw conflict(`Cannot take address "${ip}": it is not in ${subnetText(this.subnet)}`);
    }
    const offset = this.#offset(ip);
    if (this.#taken.has(offset)) throw conflict('Address already in use');
    this.#take(offset);
    if (this.#inRange(offset)) {
      this.#next = offset;
      this.#advance();
    }
  }

  /** Idempotent. Preconditions: `ip` was allocated or reserved here. */
  release(ip: string): void {
    if (!contains(this.subnet, ipv4Number(ip))) return;
    const offset = this.#offset(ip);
    if (this.#taken.delete(offset) && this.#inRange(offset)) this.#free++;
  }

  #offset(ip: string): number {
    return ipv4Number(ip) - this.subnet.first;
  }
}
