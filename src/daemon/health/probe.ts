/** One probe of one container: a command in it, or a question of the engine's own in its network. */
import { randomBytes } from 'node:crypto';
import { OUTPUT_BYTES_MAX, outputText, type ProbeTest } from '#container/health.ts';
import { commandText, publishContainerEvent } from '../container/event.ts';
import { execSpecOf } from '../exec/spec.ts';
import { type ProbeInput, type ProbeOutcome, timedOut } from './probe-input.ts';

type ExecTest = Extract<ProbeTest, { kind: 'exec' }>;

const DEFAULT_SHELL = ['/bin/sh', '-c'];
/** A probe that is not over by then has its output read while it runs. */
const LONG_MS = 250;

/** Rejects when it could not be started. */
export async function runProbe(input: ProbeInput): Promise<ProbeOutcome> {
  const { test } = input.plan;
  if (test.kind === 'exec') return runExec(input, test);
  const { askNetwork } = await import('./network-probe.ts');
  return askNetwork(input, test);
}

async function runExec(input: ProbeInput, test: ExecTest): Promise<ProbeOutcome> {
  const { services, record, live, plan, deadlines, over } = input;
  const { Shell: shell } = record.config;
  const words = test.shell
    ? [...(shell === undefined || shell.length === 0 ? DEFAULT_SHELL : shell), ...test.command]
    : [...test.command];
  const id = randomBytes(32).toString('hex');
  const tell = (action: string, attributes: Readonly<Record<string, string>> = {}): void =>
    publishContainerEvent(services.events, record, action, { ...attributes, execID: id }, { transient: true });
  tell(`exec_create: ${commandText(words)}`);
  const probe = await live.driver.probe({
    id,
    container: live.process,
    spec: () => execSpecOf(services, record, requestOf(words), null),
    outputBytesMax: OUTPUT_BYTES_MAX,
  });
  tell(`exec_start: ${commandText(words)}`);
  let late = false;
  const kill = (): void => probe.kill();
  const limit = deadlines.in(plan.timeoutMs, () => {
    late = true;
    probe.kill();
  });
  const long = plan.timeoutMs > LONG_MS ? deadlines.in(LONG_MS, () => probe.drain()) : undefined;
  over.addEventListener('abort', kill, { once: true });
  if (over.aborted) kill();
  try {
    const end = await probe.ended;
    tell('exec_die', { exitCode: String(end.exitCode) });
    const output = outputText(end.output, end.more);
    return late ? timedOut(plan.timeoutMs, output) : { exitCode: end.exitCode, output };
  } finally {
    limit.cancel();
    long?.cancel();
    over.removeEventListener('abort', kill);
  }
}

/** As a `docker exec` without options. */
function requestOf(words: readonly string[]): Parameters<typeof execSpecOf>[2] {
  return {
    ...{ User: '', Privileged: false, Tty: false, AttachStdin: false, AttachStdout: true, AttachStderr: true },
    ...{ Detach: false, DetachKeys: '', Env: null, WorkingDir: '', Cmd: [...words], ConsoleSize: null },
  };
}
