/**
 * An OCI hook as a program of calls: a child without new namespaces, with the environment that its hook names and no
 * other. Hooks of the container join its namespaces by its pidfd; their program is found on the host's paths all the same
 * while the container's root is not changed yet.
 */
import { NR } from '#sys/numbers.ts';
import { Program } from '#sys/program.ts';
import { cloneFlagOf } from './namespaces/plan.ts';
import type { Hook, Hooks, Spec } from './spec.ts';

const SIG_SETMASK = 2;
const SIGNAL_SET_BYTES = 8;

export interface HookStreams {
  readonly stdin: number;
  readonly stdout: number;
  readonly stderr: number;
}

/** Kinds that run in the container's namespaces. */
export const hooksInContainer: readonly (keyof Hooks)[] = ['createContainer', 'startContainer'];

/** Whose namespaces a hook joins. */
export interface HookedContainer {
  readonly pidfd: number;
  /** `/proc/PID/root`: of a mount namespace alone one gets its first root, which may lie below the one in use. */
  readonly root: number;
}

/** `container` undefined: the runtime's namespaces. */
export function hookProgram(
  hook: Hook,
  options: { readonly streams: HookStreams; readonly spec: Pick<Spec, 'linux'>; readonly container?: HookedContainer },
): Program {
  const { streams, spec, container } = options;
  const program = new Program();
  program.do('hook stdin', NR.dup3, program.fd(streams.stdin), 0, 0);
  program.do('hook output', NR.dup3, program.fd(streams.stdout), 1, 0);
  program.do('hook output', NR.dup3, program.fd(streams.stderr), 2, 0);
  if (container !== undefined) {
    const types = (spec.linux?.namespaces ?? []).map(({ type }) => type).filter((type) => type !== 'pid');
    const flags = types.reduce((all, type) => all | cloneFlagOf[type], 0) >>> 0;
    const root = program.fd(container.root);
    program.do("join the container's namespaces", NR.setns, program.fd(container.pidfd), flags);
    program.do("enter the container's root", NR.fchdir, root);
    program.do("make it the hook's root", NR.chroot, '.');
  }
  const noSignals = program.bytes(new Uint8Array(SIGNAL_SET_BYTES));
  program.do('unblock signals', NR.rt_sigprocmask, SIG_SETMASK, noSignals, 0, SIGNAL_SET_BYTES);
  const args = hook.args === undefined || hook.args.length === 0 ? [hook.path] : hook.args;
  program.do('execve', NR.execve, hook.path, program.argv(args), program.argv(hook.env ?? []));
  return program;
}
