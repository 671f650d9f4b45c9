/**
 * A build that begins again without a result that could not be had: each step is announced and begun once, and ends
 * once, unless it ended as one that was cached and is made after all.
 */
import type { EndDetail, Progress, StepOutcome, Vertex } from '../progress.ts';

export class ToldOnce implements Progress {
  readonly #to: Progress;
  readonly #announced = new Set<string>();
  readonly #started = new Set<string>();
  readonly #ended = new Map<string, StepOutcome>();

  constructor(to: Progress) {
    this.#to = to;
  }

  vertex(vertex: Vertex): void {
    if (this.#announced.has(vertex.id)) return;
    this.#announced.add(vertex.id);
    this.#to.vertex(vertex);
  }

  started(id: string): void {
    if (this.#started.has(id)) return;
    this.#started.add(id);
    this.#to.started(id);
  }

  ended(id: string, outcome: StepOutcome, detail: EndDetail): void {
    const before = this.#ended.get(id);
    if (before !== undefined && (before !== 'cached' || outcome === 'cached')) return;
    this.#ended.set(id, outcome);
    this.#to.ended(id, outcome, detail);
  }

  container = (id: string, container: string): void => this.#to.container(id, container);
  containerGone = (id: string, container: string): void => this.#to.containerGone(id, container);
  log = (id: string, stream: 1 | 2, bytes: Uint8Array): void => this.#to.log(id, stream, bytes);
  status = (id: string, name: string, current: number, total: number | undefined): void =>
    this.#to.status(id, name, current, total);
  why = (id: string, reasons: readonly string[]): void => this.#to.why(id, reasons);
  note = (text: string): void => this.#to.note(text);
  warning = (text: string): void => this.#to.warning(text);
}
