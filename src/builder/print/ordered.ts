/**
 * Steps of stages that run side by side, told one after the other in the order of the Dockerfile: the first that has not
 * ended speaks at once, the others are held back until it is their turn.
 */
import type { Progress, StepOutcome, Vertex } from '../progress.ts';

export interface StepTeller {
  begin(vertex: Vertex): void;
  container(container: string): void;
  containerGone(container: string): void;
  log(stream: 1 | 2, bytes: Uint8Array): void;
  status(name: string, current: number, total: number | undefined): void;
  end(outcome: StepOutcome, detail: { readonly state?: string; readonly error?: string }): void;
  note(text: string): void;
}

interface Step {
  readonly vertex: Vertex;
  readonly index: number;
  readonly held: (() => void)[];
  started: boolean;
  ended: boolean;
}

/** Of what a step says while others are before it. */
const HELD_BYTES_MAX = 4 << 20;

export class OrderedProgress implements Progress {
  readonly #teller: StepTeller;
  readonly #steps: Step[] = [];
  readonly #byId = new Map<string, Step>();
  #turn = 0;
  #heldBytes = 0;

  constructor(teller: StepTeller) {
    this.#teller = teller;
  }

  vertex(vertex: Vertex): void {
    const step = { vertex, index: this.#steps.length, held: [], started: false, ended: false };
    this.#steps.push(step);
    this.#byId.set(vertex.id, step);
  }

  started(id: string): void {
    this.#tell(id, (step) => {
      if (step.started) return;
      step.started = true;
      this.#teller.begin(step.vertex);
    });
  }

  container(id: string, container: string): void {
    this.#tell(id, () => this.#teller.container(container));
  }

  containerGone(id: string, container: string): void {
    this.#tell(id, () => this.#teller.containerGone(container));
  }

  log(id: string, stream: 1 | 2, bytes: Uint8Array): void {
    const step = this.#byId.get(id);
    if (step !== undefined && step.index <= this.#turn) {
      this.#teller.log(stream, bytes);
      return;
    }
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > HELD_BYTES_MAX) return;
    // The bytes are valid during this call only.
    const copy = bytes.slice();
    this.#tell(id, () => this.#teller.log(stream, copy));
  }

  status(id: string, name: string, current: number, total: number | undefined): void {
    this.#tell(id, () => this.#teller.status(name, current, total));
  }

  ended(id: string, outcome: StepOutcome, detail: { readonly state?: string; readonly error?: string }): void {
    this.#tell(id, (step) => {
      if (step.ended) return;
      step.ended = true;
      this.#teller.end(outcome, detail);
    });
    this.#advance();
  }

  why(): void {}

  note(text: string): void {
    this.#teller.note(text);
  }

  warning(text: string): void {
    this.#teller.note(text);
  }

  /** What the step at which a build has failed said, although others before it have not ended. */
  flush(): void {
    for (; this.#turn < this.#steps.length; this.#turn++) {
      for (const tell of this.#steps[this.#turn]?.held.splice(0) ?? []) tell();
    }
  }

  #tell(id: string, tell: (step: Step) => void): void {
    const step = this.#byId.get(id);
    if (step === undefined) return;
    if (step.index <= this.#turn) tell(step);
    else step.held.push(() => tell(step));
  }

  #advance(): void {
    while (this.#steps[this.#turn]?.ended === true) {
      this.#turn += 1;
      for (const tell of this.#steps[this.#turn]?.held.splice(0) ?? []) tell();
    }
  }
}
