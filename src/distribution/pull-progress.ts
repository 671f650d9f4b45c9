/** What a pull tells while layers arrive: each layer's line whenever its state has changed, ten times a second at most. */
import { barMessage, type Tell } from '#image/progress.ts';
import type { LayerState } from './layer-transfers.ts';

const EVERY_MS = 100;

export interface Told {
  /** As shown: twelve digits. */
  readonly id: string;
  readonly size: number;
  readonly state: () => LayerState;
}

export const shortDigest = (digest: string): string => digest.slice(digest.indexOf(':') + 1, digest.indexOf(':') + 13);

/** Ends with `dispose`; then the layers' last states have been told. */
export class PullProgress implements AsyncDisposable {
  readonly #tell: Tell;
  readonly #layers: readonly Told[];
  readonly #last = new Map<Told, string>();
  readonly #timer: NodeJS.Timeout;
  #telling: Promise<void> = Promise.resolve();
  #busy = false;

  constructor(tell: Tell, layers: readonly Told[]) {
    this.#tell = tell;
    this.#layers = layers;
    this.#timer = setInterval(() => {
      // A client that reads slowly gets less, not later.
      if (this.#busy) return;
      this.#busy = true;
      this.#telling = this.#round().finally(() => {
        this.#busy = false;
      });
      this.#telling.catch(() => undefined);
    }, EVERY_MS);
  }

  async #round(): Promise<void> {
    for (const layer of this.#layers) await this.#show(layer);
  }

  async #show(layer: Told): Promise<void> {
    const state = layer.state();
    const text = `${state.kind} ${state.kind === 'downloading' ? state.received : state.kind === 'retrying' ? state.seconds : ''}`;
    const before = this.#last.get(layer);
    if (before === text) return;
    this.#last.set(layer, text);
    const plain = (status: string) => this.#tell({ status, progressDetail: {}, id: layer.id });
    switch (state.kind) {
      case 'beginning':
        return;
      case 'waiting':
        await plain('Waiting');
        return;
      case 'downloading':
        if (state.received > 0) await this.#tell(barMessage('Downloading', layer.id, state.received, layer.size));
        return;
      case 'retrying':
        await plain(`Retrying in ${state.seconds} second${state.seconds === 1 ? '' : 's'}`);
        return;
      case 'verifying':
        await plain('Verifying Checksum');
        return;
      case 'downloaded':
        if (before?.startsWith('verifying') !== true) await plain('Verifying Checksum');
        await plain('Download complete');
        return;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#telling.catch(() => undefined);
    await this.#round().catch(() => undefined);
  }
}
