/** Prints a daemon's progress stream; a message with an error ends it as a failure. */
import type { ProgressMessage } from '#api/types/image.ts';
import { ProgressDisplay } from '#pkg/progress/progress.ts';
import { ExitError } from '../command.ts';

export interface ProgressTarget {
  readonly write: (text: string) => void;
  readonly terminal: boolean;
}

export async function showProgress(messages: AsyncIterable<ProgressMessage>, target: ProgressTarget): Promise<void> {
  const display = new ProgressDisplay({ ...target, ...(target.terminal ? { columns: process.stdout.columns } : {}) });
  for await (const message of messages) {
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw new ExitError(1, failure);
    display.show(message);
  }
}
