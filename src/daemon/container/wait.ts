/** Waits for a container outside its queue. `accepted` tells the server to send its head: clients start it after that. */
import type { WaitCondition } from '#api/jobs/container.ts';
import type { ContainerWaitResponse } from '#api/types/container.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import type { Services } from '../services.ts';
import type { Outcome } from './waiters.ts';

export async function waitForContainer(
  services: Services,
  input: { readonly container: string; readonly condition: WaitCondition; readonly accepted: () => void },
  signal: AbortSignal,
): Promise<ContainerWaitResponse> {
  const gone = services.waiters.outcomeOf(input.container);
  if (gone !== undefined) {
    input.accepted();
    return answer(gone);
  }
  const record = services.containers.resolve(input.container);
  const { state } = record;
  // No await between the look at the state and the waiter's standing.
  if (input.condition === 'not-running' && !isRunningOrRestarting(state)) {
    input.accepted();
    return answer({ exitCode: state.exitCode, error: '' });
  }
  const outcome = services.waiters.wait(record.id, input.condition, signal);
  input.accepted();
  return answer(await outcome);
}

function answer(outcome: Outcome): ContainerWaitResponse {
  return { StatusCode: outcome.exitCode, ...(outcome.error === '' ? {} : { Error: { Message: outcome.error } }) };
}
