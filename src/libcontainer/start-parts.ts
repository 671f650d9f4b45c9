/** What a start is made from: the request, what `prepareStart` has made of it, and where the child stops. */
import type { Pty } from '#sys/mounts.ts';
import type { Gate } from '#sys/gate.ts';
import type { Cgroup } from './cgroups/cgroup.ts';
import type { Restrictions } from './mounts/masks.ts';
import type { PreparedMounts } from './mounts/prepare.ts';
import type { SpareMounts } from './mounts/spare-mounts.ts';
import type { NamespacePlan } from './namespaces/plan.ts';
import type { ProcessPlan } from './process-plan.ts';
import type { ChildStdio } from './process-steps.ts';
import type { Process, Spec } from './spec.ts';
import type { ConsoleSize } from './terminal.ts';

export interface StartRequest {
  readonly id: string;
  readonly spec: Spec;
  /** Detached mount of the root filesystem, private, for this start alone; `root.readonly` is applied to it. */
  readonly rootfs: number;
  /** Relative bind sources start here; default '/'. */
  readonly bundle?: string;
  /** The child's ends; ignored (and may be left out) with `process.terminal`. */
  readonly stdio?: ChildStdio;
  readonly consoleSize?: ConsoleSize;
  /** The container's group, made with its limits. */
  readonly cgroup?: Pick<Cgroup, 'version' | 'join' | 'directories'>;
  /** The child stops at `gates.network` when it has a network namespace of its own. */
  readonly network: boolean;
  /** The child stops at `gates.hooks` when its mounts are complete and its root is not yet changed. */
  readonly hooks?: boolean;
  /** Where the root is attached in the new mount namespace before it becomes `/`; default on the host's `/`. */
  readonly attachAt?: string;
  /** The child waits for a byte of this FIFO after its last gate. */
  readonly startFifo?: number;
  /** File systems that were made ahead. */
  readonly spares?: SpareMounts;
}

export interface StartGates {
  /** Write the maps here (`writeMaps`). */
  readonly maps?: Gate;
  readonly network?: Gate;
  readonly hooks?: Gate;
  /** Directly before execve. */
  readonly exec: Gate;
}

/** What `prepareStart` has made so far; start-steps.ts turns it into the list. */
export interface StartParts {
  readonly request: StartRequest;
  readonly process: Process;
  readonly plan: ProcessPlan;
  readonly namespaces: NamespacePlan;
  readonly joins: readonly number[];
  /** Its own or a joined one. */
  readonly inUserNamespace: boolean;
  readonly mounts: PreparedMounts;
  readonly restrictions: Restrictions;
  readonly stdio: ChildStdio;
  readonly pty: Pty | undefined;
  readonly cgroupFd: number | undefined;
  /** Real path of the working directory, or as it was given where it lies in a mount made inside. */
  readonly cwd: string;
}
