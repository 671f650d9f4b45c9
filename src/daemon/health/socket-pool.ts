/**
 * Sockets in the network namespaces of containers, some in stock for the next probes: one launch makes several. They
 * hold the namespace, so `drop` comes first when a container ends.
 */
import { randomBytes } from 'node:crypto';
import { cancelled } from '#errdefs/errors.ts';
import { close } from '#sys/files.ts';
import { SOCKET } from '#sys/numbers.ts';
import type { LiveContainer } from '../container/live.ts';

const AT_ONCE = 8;

export class SocketPool {
  readonly #stock = new Map<string, number[]>();
  readonly #containers = new Map<string, LiveContainer>();

  /** Non-blocking TCP; the caller's. Errors: cancelled when the container has ended meanwhile. */
  async take(live: LiveContainer, v6: boolean): Promise<number> {
    const { id } = live.process;
    if (this.#containers.get(id) !== live) {
      this.drop(id);
      this.#containers.set(id, live);
    }
    const key = `${id} ${v6}`;
    const kept = this.#stock.get(key)?.pop();
    if (kept !== undefined) return kept;
    const sockets = await live.driver.sockets({
      id: randomBytes(32).toString('hex'),
      container: live.process,
      family: v6 ? SOCKET.AF_INET6 : SOCKET.AF_INET,
      type: SOCKET.STREAM | SOCKET.NONBLOCK,
      count: AT_ONCE,
    });
    const [first, ...rest] = sockets;
    if (this.#containers.get(id) !== live || first === undefined) {
      for (const fd of sockets) close(fd);
      throw cancelled(`container ${id} has ended`);
    }
    this.#stock.set(key, rest);
    return first;
  }

  /** Idempotent. */
  drop(id: string): void {
    if (!this.#containers.delete(id)) return;
    for (const v6 of [true, false]) {
      for (const fd of this.#stock.get(`${id} ${v6}`) ?? []) close(fd);
      this.#stock.delete(`${id} ${v6}`);
    }
  }
}
