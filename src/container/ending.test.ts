import { expect, test } from 'bun:test';
import { type Asked, classify, type EndFacts } from './ending.ts';

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
const end = (change: Partial<EndFacts>): EndFacts => ({
  ...{ exitCode: 0, signal: 0, error: '', finishedAt: at(10), asked: undefined, oom: undefined },
  ...change,
});
const asked = (verb: Asked['verb'], signal: number, change: Partial<Asked> = {}): Asked => ({
  ...{ verb, signal, at: at(9), by: 'docker (pid 1, uid 0)', unhealthy: false },
  ...change,
});
const oom = { At: at(9), Kills: 1, Process: 'java', RssBytes: 100 << 20, LimitBytes: 128 << 20 };
const killed = { exitCode: 137, signal: 9 };

test.each([
  [{}, 'completed', 'ended by itself with code 0'],
  [{ exitCode: 3 }, 'failed', 'ended by itself with code 3'],
  [
    { exitCode: 143 },
    'failed',
    'ended by itself with code 143 (so a shell tells that a program of its was ended by SIGTERM)',
  ],
  [killed, 'signalled', 'killed by SIGKILL by a process of the host, not through this daemon'],
  [{ ...killed, oom }, 'oom', 'out of memory: the kernel killed "java" (100 MiB of memory), the limit is 128 MiB'],
  [{ ...killed, oom: { At: at(1), Kills: 1 } }, 'oom', 'out of memory: the kernel killed a process'],
  [
    { exitCode: 1, oom },
    'failed',
    'ended by itself with code 1; before that a process in it ran out of memory: the kernel killed "java" (100 MiB of memory), the limit is 128 MiB',
  ],
  [{ exitCode: 139, signal: 11 }, 'crashed', 'crashed by SIGSEGV: an invalid memory access'],
  [{ exitCode: 159, signal: 31 }, 'crashed', 'crashed by SIGSYS: a system call that its seccomp profile forbids'],
  [{ exitCode: 152, signal: 24 }, 'limit', 'ended by SIGXCPU: it used up its CPU time (RLIMIT_CPU)'],
  [{ ...killed, error: 'monitor died' }, 'lost', 'its end was not seen (monitor died)'],
  [{ asked: asked('stop', 0) }, 'stopped', 'stopped by docker (pid 1, uid 0); it ended with code 0'],
  [
    { ...killed, asked: asked('stop', 0) },
    'stopped',
    'stopped by docker (pid 1, uid 0); ended by SIGKILL after the time it had to stop',
  ],
  [{ ...killed, asked: asked('kill', 9) }, 'killed', 'killed by docker (pid 1, uid 0); ended by SIGKILL'],
  [
    { exitCode: 143, signal: 15, asked: asked('shutdown', 0) },
    'stopped',
    'stopped by docker (pid 1, uid 0); ended by SIGTERM',
  ],
  [
    { ...killed, asked: asked('kill', 9, { unhealthy: true, by: 'the engine' }) },
    'unhealthy',
    'the engine; ended by SIGKILL',
  ],
  // A signal that it handled counts for a moment, and for its own code.
  [
    { exitCode: 4, asked: asked('kill', 1, { at: at(8) }) },
    'killed',
    'killed by docker (pid 1, uid 0); it ended with code 4',
  ],
  [{ exitCode: 4, asked: asked('kill', 1, { at: at(0) }) }, 'failed', 'ended by itself with code 4'],
  [
    { exitCode: 129, asked: asked('kill', 1, { at: at(0) }) },
    'killed',
    'killed by docker (pid 1, uid 0); it ended with code 129',
  ],
] as [Partial<EndFacts>, string, string][])('%p', (facts, cause, summary) => {
  expect(classify(end(facts))).toEqual({ cause, summary } as ReturnType<typeof classify>);
});
