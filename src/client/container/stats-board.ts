/** Containers whose figures are followed, each by a stream of its own; events tell which come and go. */
import type { ApiClient } from '#api/client/api-client.ts';
import { ApiError } from '#api/client/api-error.ts';
import { listContainers } from '#api/client/containers.ts';
import { statsStream } from '#api/client/stats.ts';
import { systemEvents } from '#api/client/system.ts';
import type { ContainerStats } from '#api/types/stats.ts';

export interface Watched {
  readonly id: string;
  readonly name: string;
  /** As the user named it. */
  readonly asked?: string;
}

export const nameOf = (name: string): string => name.replace(/^\//, '');

export async function listed(client: ApiClient, all: boolean): Promise<Watched[]> {
  const containers = await listContainers(client, { all, filters: new Map() });
  return containers.map(({ Id: id, Names }) => ({ id, name: nameOf(Names[0] ?? '') }));
}

/** The streams of what is watched, and their latest frames. */
export class Board {
  readonly #client: ApiClient;
  readonly #rows = new Map<
    string,
    { readonly watched: Watched; readonly stop: AbortController; frame?: ContainerStats }
  >();
  onEmpty: () => void = () => undefined;
  /** The connection of a stream broke off: the daemon is gone. */
  onLost: (error: unknown) => void = () => undefined;

  constructor(client: ApiClient) {
    this.#client = client;
  }

  add(watched: Watched): void {
    if (this.#rows.has(watched.id)) return;
    this.#rows.set(watched.id, { watched, stop: new AbortController() });
    void this.#read(watched.id);
  }

  remove(id: string): void {
    this.#rows.get(id)?.stop.abort();
    this.#rows.delete(id);
    if (this.#rows.size === 0) this.onEmpty();
  }

  frames(): (readonly [Watched, ContainerStats | undefined])[] {
    return [...this.#rows.values()].map(({ watched, frame }) => [watched, frame] as const);
  }

  async #read(id: string): Promise<void> {
    const row = this.#rows.get(id);
    if (row === undefined) return;
    try {
      for await (const frame of statsStream(this.#client, id, row.stop.signal)) row.frame = frame;
    } catch (error) {
      // A container that is gone has nothing more to show; a daemon that is gone has to be told.
      if (!row.stop.signal.aborted && !(error instanceof ApiError)) this.onLost(error);
    }
    if (this.#rows.get(id) === row) this.remove(id);
  }
}

/** Until the daemon ends; `changed` is called after each event of a container. */
export async function watchEvents(
  client: ApiClient,
  board: Board,
  all: boolean,
  changed: () => void = () => undefined,
): Promise<void> {
  const events = systemEvents(client, { since: '', until: '', filters: new Map([['type', ['container']]]) });
  for await (const { Action, Actor } of events) {
    const watched = { id: Actor.ID, name: Actor.Attributes['name'] ?? '' };
    if (Action === 'start' || (all && Action === 'create')) board.add(watched);
    else if (Action === 'destroy' || (!all && Action === 'die')) board.remove(Actor.ID);
    changed();
  }
}
