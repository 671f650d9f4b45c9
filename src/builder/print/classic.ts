/** The lines of Docker's classic builder, which SDKs and Compose read: `Step 1/3 : FROM x`, ` ---> abc`, `Running in …`. */
import type { StepOutcome, Vertex } from '../progress.ts';
import type { StepTeller } from './ordered.ts';

export interface ClassicOptions {
  /** Says nothing but the result. */
  readonly quiet: boolean;
  readonly write: (line: { readonly stream: string } | { readonly status: string; readonly id: string }) => void;
}

const UNSAID_BYTES_MAX = 4 << 20;

const short = (id: string): string => id.slice(0, 12);

export class ClassicTeller implements StepTeller {
  readonly #options: ClassicOptions;
  /** What was not said, for the case that the build fails. */
  readonly #unsaid: string[] = [];
  #unsaidBytes = 0;

  constructor(options: ClassicOptions) {
    this.#options = options;
  }

  begin({ number, total, instruction }: Vertex): void {
    this.#say(`Step ${number}/${total} : ${instruction}\n`);
  }

  container(container: string): void {
    this.#say(` ---> Running in ${short(container)}\n`);
  }

  containerGone(container: string): void {
    this.#say(`Removing intermediate container ${short(container)}\n`);
  }

  log(stream: 1 | 2, bytes: Uint8Array): void {
    const text = Buffer.from(bytes).toString();
    // As dockerd's: red on a terminal, plain where nobody minds.
    this.#say(stream === 2 ? `\u001b[91m${text}\u001b[0m` : text);
  }

  status(): void {}

  end(outcome: StepOutcome, { state }: { readonly state?: string }): void {
    if (outcome === 'cached') this.#say(' ---> Using cache\n');
    if ((outcome === 'done' || outcome === 'cached') && state !== undefined) this.#say(` ---> ${short(state)}\n`);
  }

  note(text: string): void {
    this.#say(text.endsWith('\n') ? text : `${text}\n`);
  }

  /** A quiet build has failed: now it is of interest. */
  sayAll(): void {
    for (const stream of this.#unsaid.splice(0)) this.#options.write({ stream });
  }

  #say(stream: string): void {
    if (stream === '') return;
    if (!this.#options.quiet) {
      this.#options.write({ stream });
      return;
    }
    this.#unsaidBytes += stream.length;
    if (this.#unsaidBytes <= UNSAID_BYTES_MAX) this.#unsaid.push(stream);
  }
}
