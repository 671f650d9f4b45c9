/** The zygote of this process itself, for the rare work that takes a child of ours: made at the first need. */
import { close } from '../files.ts';
import { killByPidfd, waitid } from '../processes.ts';
import { W } from '../numbers.ts';
import { SysError } from '../errno.ts';
import { listMemfd, Zygote, type ZygoteAnswer } from './zygote.ts';

let zygote: Zygote | undefined;

/** Main thread only. */
export function ownZygote(): Zygote {
  zygote ??= new Zygote();
  return zygote;
}

export interface OwnChild extends Disposable {
  readonly pid: number;
}

/** A child that works through `list`; disposing of it ends and reaps it. */
export function ownChild(list: Uint8Array): OwnChild {
  const { pid, pidfd } = cloned(list);
  return { pid, [Symbol.dispose]: () => end(pidfd) };
}

function end(pidfd: number): void {
  try {
    killByPidfd(pidfd);
    waitid(W.P_PIDFD, pidfd, 0);
  } finally {
    close(pidfd);
  }
}

function cloned(list: Uint8Array): ZygoteAnswer {
  const from = ownZygote();
  const memfd = listMemfd(list);
  try {
    from.request(memfd, list.length);
    const answer = answerOf(from);
    if (answer.pid < 0) throw new SysError('clone3', -answer.pid);
    return answer;
  } finally {
    close(memfd);
  }
}

/** An answer that is not taken here must not be taken for that of the next child. */
function answerOf(from: Zygote): ZygoteAnswer {
  try {
    return from.waitAnswer();
  } catch (error) {
    try {
      const { pid, pidfd } = from.waitAnswer();
      if (pid > 0) end(pidfd);
    } catch {
      zygote = undefined;
      from[Symbol.dispose]();
    }
    throw error;
  }
}
