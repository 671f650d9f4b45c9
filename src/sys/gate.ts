/**
 * A gate of a program: a pipe whose read end the child waits on. The write end belongs to whoever built the program; when
 * that process dies the kernel closes it, the child reads 0, takes it as a failure and ends.
 */
import { ok } from '#errdefs/assert.ts';
import { close, pipe2 } from './files.ts';

export class Gate implements Disposable {
  readonly name: string;
  #write: number | undefined;
  #read: number | undefined;

  constructor(name: string) {
    this.name = name;
    const pipe = pipe2();
    this.#write = pipe.write;
    this.#read = pipe.read;
  }

  /** The end that goes to the child. */
  get readEnd(): number {
    ok(this.#read !== undefined, 'the gate was sent or closed already');
    return this.#read;
  }

  /** The read end went along: closing it here leaves the child as its only reader. */
  sent(): void {
    if (this.#read !== undefined) close(this.#read);
    this.#read = undefined;
  }

  /** Lets the child go on. */
  open(write: (fd: number) => void): void {
    ok(this.#write !== undefined, 'a gate is opened once');
    write(this.#write);
    this[Symbol.dispose]();
  }

  /** Closing an unopened gate ends the child. */
  [Symbol.dispose](): void {
    this.sent();
    if (this.#write !== undefined) close(this.#write);
    this.#write = undefined;
  }
}
