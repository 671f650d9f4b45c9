/**
 * OCI hooks. Each is a program of calls like a container, without new namespaces: its environment is what the bundle says
 * and nothing else, its standard input the state. Hooks of the container's namespaces join them by the container's pidfd.
 */
import { log } from '#pkg/log/log.ts';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { close, open, ownedFd, pipe2, writeAll } from '#sys/files.ts';
import { O, W } from '#sys/numbers.ts';
import { exitCodeOf, killByPidfd, waitid } from '#sys/processes.ts';
import { errnoText } from '../explain.ts';
import { hookProgram, hooksInContainer } from '../hook-program.ts';
import type { Hook, Hooks, Spec, State } from '../spec.ts';
import { type OciLauncher, pollReadable } from './launch.ts';

const HOOK_LIMIT_MS = 600_000;

export interface HookContext {
  readonly launcher: OciLauncher;
  readonly spec: Spec;
  readonly state: State;
  /** For hooks that run in the container's namespaces. */
  readonly containerPidfd?: number;
}

/** Runs the hooks of one kind in their order. Errors: system, naming the hook. */
export function runHooks(kind: keyof Hooks, context: HookContext): void {
  for (const [i, hook] of (context.spec.hooks?.[kind] ?? []).entries()) {
    try {
      runHook(hook, context, hooksInContainer.includes(kind));
    } catch (error) {
      throw systemError(`error running ${kind} hook #${i}: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** As runHooks, for kinds whose failure must not end anything: it is told in the log. */
export function runHooksAnyway(kind: keyof Hooks, context: HookContext): void {
  try {
    runHooks(kind, context);
  } catch (error) {
    log.warn('a hook failed', { kind, err: error });
  }
}

function runHook(hook: Hook, context: HookContext, join: boolean): void {
  const stdin = pipe2();
  const { containerPidfd: pidfd, state } = context;
  using root = join && pidfd !== undefined ? ownedFd(open(`/proc/${state.pid ?? 0}/root`, O.PATH)) : undefined;
  const program = hookProgram(hook, {
    streams: { stdin: stdin.read, stdout: 1, stderr: 2 },
    spec: context.spec,
    ...(join && pidfd !== undefined && root !== undefined ? { container: { pidfd, root: root.fd } } : {}),
  });
  let input = stdin.write;
  try {
    const child = context.launcher.launch({ program, cloneFlags: 0, onGate: () => undefined });
    try {
      if (child.failed === undefined) feed(input, context.state);
      close(input);
      input = -1;
      finish(hook, child.pidfd, child.failed?.code);
    } finally {
      killByPidfd(child.pidfd);
      waitid(W.P_PIDFD, child.pidfd, 0);
      close(child.pidfd);
    }
  } finally {
    close(stdin.read);
    if (input !== -1) close(input);
  }
}

/** The state fits into a pipe; a hook that does not read it is no error. */
function feed(fd: number, state: State): void {
  try {
    writeAll(fd, Buffer.from(JSON.stringify(state)));
  } catch (error) {
    log.debug('a hook did not read the state', { err: error });
  }
}

function finish(hook: Hook, pidfd: number, failure: string | undefined): void {
  if (failure !== undefined) throw new Error(`exec "${hook.path}": ${errnoText(failure)}`);
  const limitMs = hook.timeout === undefined ? HOOK_LIMIT_MS : hook.timeout * 1000;
  if (!pollReadable([pidfd], limitMs)) throw new Error(`"${hook.path}" timed out after ${limitMs} ms`);
  const ended = waitid(W.P_PIDFD, pidfd, 0);
  const code = ended === undefined ? 0 : exitCodeOf(ended);
  if (code !== 0) throw new Error(`"${hook.path}" ended with exit status ${code}`);
}
