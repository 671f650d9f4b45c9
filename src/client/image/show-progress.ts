/** Prints a daemon's progress stream; a message with an error ends it as a failure. */
import type { ProgressMessage } from '#api/types/image.ts';
import { ProgressDisplay } from '#pkg/progress/progress.ts';
import { type CommandContext, ExitError } from '../command.ts';
import { mayDraw, screenSize } from '../terminal/screen.ts';

export interface ProgressTarget {
  readonly write: (text: string) => void;
  /** Columns of the terminal that is drawn on; undefined: a log. */
  readonly columns: number | undefined;
}

/** For `columns`. */
export function progressColumns(context: Pick<CommandContext, 'io' | 'environment'>): number | undefined {
  return mayDraw(context) ? screenSize(context.environment).columns : undefined;
}

export async function showProgress(messages: AsyncIterable<ProgressMessage>, target: ProgressTarget): Promise<void> {
  const { write, columns } = target;
  const terminal = columns !== undefined;
  const display = new ProgressDisplay({ write, terminal, ...(terminal ? { columns } : {}) });
  for await (const message of messages) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw new ExitError(1, failure);
    display.show(message);
  }
}
