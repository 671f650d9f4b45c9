/**
 * Scopes of ours in slices of systemd (`--cgroup-parent web.slice`). A scope lives while a process is in it, and systemd
 * clears it away, with what stands in its groups, the moment it is empty: before anybody has read how a container ended,
 * it may be. So a keeper holds it: a child of the zygote that waits for the end of a pipe whose other end the monitor
 * has. It outlives the daemon, it ends with the monitor, and it is let go when the last container has left.
 */
import { mkdirSync } from 'node:fs';
import type { CgroupLayout } from '#libcontainer/cgroups/layout.ts';
import { scopeOfGroup, type SliceScope } from '#libcontainer/cgroups/slices.ts';
import { adoptIntoScope } from '#libcontainer/cgroups/systemd.ts';
import { systemError } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { ownedFd, pipe2 } from '#sys/files.ts';
import { writeValue } from '#sys/host-files.ts';
import { NR } from '#sys/numbers.ts';
import { OUTCOME_FD, Program } from '#sys/program.ts';
import type { MonitorClient } from './monitor/client.ts';
import type { ExitRecord, ListedProcess } from './monitor/protocol.ts';

const PREFIX = 'keeper:';
/** The monitor's end of the keeper's pipe. */
const LEASH = 'leash';

/** Tells the monitor something, if it is there. */
type Tell = (what: (client: MonitorClient) => void) => void;

interface Held {
  readonly keeper: string;
  /** Ids of containers. */
  readonly users: Set<string>;
  readonly ready: Promise<void>;
}

export class SliceScopes {
  readonly #layout: CgroupLayout;
  /** By path of the scope. */
  readonly #held = new Map<string, Held>();
  /** Keepers that an earlier daemon has left, by the name of their scope, until somebody is found in it. */
  readonly #found = new Map<string, string>();
  #made = 0;

  constructor(layout: CgroupLayout) {
    this.#layout = layout;
  }

  /** Before the group of `container` is made; `leave` must follow. Errors: unavailable, system, deadline-exceeded. */
  async enter(client: MonitorClient, container: string, group: string): Promise<void> {
    const scope = this.#scopeOf(group);
    if (scope === undefined) return;
    let held = this.#held.get(scope.path);
    if (held === undefined) {
      const keeper = `${PREFIX}${scope.scope}:${process.pid}.${++this.#made}`;
      held = { keeper, users: new Set(), ready: this.#hold(client, keeper, scope) };
      this.#held.set(scope.path, held);
    }
    held.users.add(container);
    await held.ready;
  }

  /** Idempotent. */
  leave(container: string, tell: Tell): void {
    for (const [path, { users, keeper }] of this.#held) {
      if (!users.delete(container) || users.size > 0) continue;
      this.#held.delete(path);
      tell((client) => client.drop(keeper, LEASH));
    }
  }

  /** After a restart of the daemon. False: it is no keeper. */
  found({ id, exit }: ListedProcess, tell: Tell): boolean {
    if (!id.startsWith(PREFIX)) return false;
    if (exit !== undefined) tell((client) => client.forget(id));
    else this.#found.set(id.slice(PREFIX.length, id.lastIndexOf(':')), id);
    return true;
  }

  /** A container of an earlier daemon is in `group`. */
  restored(container: string, group: string | undefined): void {
    const scope = group === undefined ? undefined : this.#scopeOf(group);
    if (scope === undefined) return;
    const keeper = this.#held.get(scope.path)?.keeper ?? this.#found.get(scope.scope);
    if (keeper === undefined) return;
    const held = this.#held.get(scope.path) ?? { keeper, users: new Set(), ready: Promise.resolve() };
    held.users.add(container);
    this.#held.set(scope.path, held);
    this.#found.delete(scope.scope);
  }

  /** All containers have been found: keepers of scopes without any are let go. */
  settle(tell: Tell): void {
    for (const keeper of this.#found.values()) tell((client) => client.drop(keeper, LEASH));
    this.#found.clear();
  }

  /** False: it was no keeper. */
  exited({ id }: ExitRecord, tell: Tell): boolean {
    if (!id.startsWith(PREFIX)) return false;
    tell((client) => client.forget(id));
    for (const [path, { keeper, users }] of this.#held) {
      if (keeper !== id) continue;
      log.warn('the keeper of a scope was ended by somebody else', { cgroup: path, containers: users.size });
      this.#held.delete(path);
    }
    return true;
  }

  monitorDied(): void {
    this.#held.clear();
    this.#found.clear();
  }

  #scopeOf(group: string): SliceScope | undefined {
    const { host, parent } = this.#layout;
    return host.version === 2 && host.systemd ? scopeOfGroup(parent, group) : undefined;
  }

  async #hold(client: MonitorClient, keeper: string, { slice, scope, path }: SliceScope): Promise<void> {
    const { host } = this.#layout;
    if (host.version !== 2) throw systemError('scopes in slices are of cgroup v2');
    try {
      const pid = await startKeeper(client, keeper);
      await adoptIntoScope({ scope, slice, pids: [pid], before: 'berth.service', waitForOld: true });
      // A group with processes of its own cannot give controllers to its children.
      const group = `${host.mountPoint}${path}/keeper`;
      mkdirSync(group, { recursive: true });
      writeValue(`${group}/cgroup.procs`, String(pid));
    } catch (error) {
      this.#held.delete(path);
      client.drop(keeper, LEASH);
      throw error;
    }
  }
}

async function startKeeper(client: MonitorClient, id: string): Promise<number> {
  const pipe = pipe2();
  using reading = ownedFd(pipe.read);
  using leash = ownedFd(pipe.write);
  using program = new Program();
  const waited = program.fd(reading.fd);
  // The end of its reports: it has come this far.
  program.do('tell', NR.close, OUTCOME_FD);
  program.do('wait', NR.read, waited, program.alloc(8), 1);
  program.do('end', NR.exit_group, 0);
  const started = await client.start({ id, program, cloneFlags: 0, held: { [LEASH]: leash.fd }, second: false });
  const { failed } = await started.outcome;
  if (failed !== undefined) throw systemError(`Cannot hold a scope of systemd: ${failed.step}: ${failed.code}`);
  return started.pid;
}
