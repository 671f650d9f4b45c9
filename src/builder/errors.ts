/** A command of a RUN ended with another code than 0. */
import { BerthError } from '#errdefs/errors.ts';

export class CommandFailed extends BerthError {
  readonly args: readonly string[];
  readonly exitCode: number;

  constructor(args: readonly string[], exitCode: number, oomKilled: boolean) {
    const why = oomKilled ? ' (it ran out of memory)' : '';
    super('system', `The command '${args.join(' ')}' returned a non-zero code: ${exitCode}${why}`);
    this.name = 'CommandFailed';
    this.args = args;
    this.exitCode = exitCode;
  }

  /** In BuildKit's words. */
  get asProcess(): string {
    const why = `did not complete successfully: exit code: ${this.exitCode}`;
    return `process ${JSON.stringify(this.args.join(' '))} ${why}`;
  }
}
