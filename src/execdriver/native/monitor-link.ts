/**
 * The driver's one connection to its monitor, made on demand and made again when only it was lost. The monitor counts as
 * dead when nobody, or another, listens at its socket.
 */
import { type CgroupLayout, prepareLayout } from '#libcontainer/cgroups/layout.ts';
import { log } from '#pkg/log/log.ts';
import { MonitorClient, type MonitorEvents } from './monitor/client.ts';
import type { ExitRecord } from './monitor/protocol.ts';
import { connectOrStart, type MonitorPlace, monitorListens, socketPathOf } from './start-monitor.ts';

export interface MonitorLinkEvents {
  readonly onExit: (exit: ExitRecord, reports?: Uint8Array) => void;
  /** What ran under it has nobody any more. The next connection waits for this. */
  readonly onDied: (pid: number) => Promise<void>;
}

export class MonitorLink {
  readonly #place: MonitorPlace;
  readonly #cgroups: CgroupLayout;
  readonly #link: MonitorLinkEvents;
  readonly #events: MonitorEvents;
  #client: Promise<MonitorClient> | undefined;
  #pid = 0;
  /** What a lost connection means is found out; starts wait for it. */
  #settled: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(place: MonitorPlace, cgroups: CgroupLayout, events: MonitorLinkEvents) {
    this.#place = place;
    this.#cgroups = cgroups;
    this.#link = events;
    this.#events = { onExit: events.onExit, onClosed: () => this.#lost() };
  }

  /** Whether a monitor may be there without our having started one. */
  get mayRun(): boolean {
    return this.#client !== undefined || monitorListens(this.#place.execRoot);
  }

  async connected(): Promise<MonitorClient> {
    await this.#settled;
    this.#client ??= this.#connect().catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }

  /** Tells it something, if it is there: nothing is started for that, and its death is told elsewhere. */
  tell(what: (client: MonitorClient) => void): void {
    this.#client?.then(what).catch((err: unknown) => log.debug('the monitor cannot be told', { err }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    (await this.#client)?.close();
    this.#client = undefined;
  }

  async #connect(): Promise<MonitorClient> {
    const client = await connectOrStart(this.#place, this.#events);
    this.#pid = client.pid;
    await prepareLayout(this.#cgroups, client.pid);
    return client;
  }

  #lost(): void {
    this.#client = undefined;
    if (!this.#closed) this.#settled = this.#reconnect().catch((err: unknown) => log.error('no way back', { err }));
  }

  /** Only the connection may have failed: who lives on is asked before anything is killed. */
  async #reconnect(): Promise<void> {
    const again = await MonitorClient.connect(socketPathOf(this.#place.execRoot), this.#events);
    if (again?.pid !== this.#pid) {
      again?.close();
      return this.#link.onDied(this.#pid);
    }
    log.warn('the connection to the monitor was lost and made again', { monitor: again.pid });
    this.#client = Promise.resolve(again);
    for (const { exit } of again.processes) if (exit !== undefined) this.#link.onExit(exit);
  }
}
