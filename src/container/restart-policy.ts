/**
 * Restart policies: what they may say, whether an ended container is started again, and how long to wait before it.
 * Unless the container's label says otherwise, the wait doubles from 100 ms to a minute and starts anew once it has run
 * for ten seconds.
 */
import type { RestartPolicy } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { type Backoff, DEFAULT_BACKOFF } from './extension-labels.ts';

export function checkRestartPolicy(policy: RestartPolicy, autoRemove: boolean): void {
  const { Name: name, MaximumRetryCount: retries } = policy;
  // as: the decoder keeps whatever text the client sent.
  const text = name as string;
  if (!['', 'no', 'always', 'on-failure', 'unless-stopped'].includes(text)) {
    throw invalidParameter(
      `invalid restart policy: unknown policy '${text}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  }
  if (name !== 'on-failure' && retries !== 0) {
    const only = "invalid restart policy: maximum retry count can only be used with 'on-failure'";
    throw invalidParameter(retries < 0 ? `${only} and cannot be negative` : only);
  }
  if (retries < 0) throw invalidParameter('invalid restart policy: maximum retry count cannot be negative');
  if (autoRemove && name !== '' && name !== 'no') {
    throw invalidParameter("can't create 'AutoRemove' container with restart policy");
  }
}

export interface EndedRun {
  readonly policy: RestartPolicy;
  readonly exitCode: number;
  /** Restarts by the policy so far, without a start by the user in between. */
  readonly restartCount: number;
  /** The user stopped it. */
  readonly manuallyStopped: boolean;
  readonly ranMs: number;
  readonly previousBackoffMs: number;
  /** Of this container; absent: the usual waits. */
  readonly backoff?: Backoff;
}

/** How long to wait before the next start, or undefined when there is none. */
export function nextRestart(run: EndedRun): { readonly waitMs: number } | undefined {
  if (run.manuallyStopped || !wanted(run)) return undefined;
  const { firstMs, maxMs, factor, resetMs } = run.backoff ?? DEFAULT_BACKOFF;
  const previous = run.ranMs >= resetMs ? 0 : run.previousBackoffMs;
  return { waitMs: Math.round(previous === 0 ? firstMs : Math.min(previous * factor, maxMs)) };
}

/** Whether the policy wants it to run again, whoever stopped it. */
export function wanted(run: Pick<EndedRun, 'policy' | 'exitCode' | 'restartCount'>): boolean {
  switch (run.policy.Name) {
    case 'always':
    case 'unless-stopped':
      return true;
    case 'on-failure':
      return (
        run.exitCode !== 0 && (run.policy.MaximumRetryCount === 0 || run.restartCount < run.policy.MaximumRetryCount)
      );
    case 'no':
    case '':
      break;
  }
  return false;
}
