/** Commands that take many names: each is tried, failures are told and counted, and the exit code says whether any. */
import type { CommandContext } from './command.ts';
import { describeFailure } from './failure.ts';

/** Prints each name that worked, or what `act` says instead ('': nothing). 1 when any failed. */
export async function forEachName(
  context: CommandContext,
  names: readonly string[],
  act: (name: string) => Promise<string | void>,
): Promise<number> {
  const results = await Promise.allSettled(names.map(async (name) => (await act(name)) ?? name));
  let code = 0;
  for (const result of results) {
    if (result.status === 'fulfilled') {
      if (result.value !== '') context.io.out(`${result.value}\n`);
      continue;
    }
    context.io.err(`${describeFailure(result.reason)}\n`);
    code = 1;
  }
  return code;
}
