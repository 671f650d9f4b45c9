/**
 * OCI hooks of containers that the native driver runs (those that CDI devices bring). They are children of the monitor,
 * so that no wait of ours blocks anybody. A container with hooks has a bundle below the exec root for them: its
 * config.json, and an empty directory at which its root is attached in its own mount namespace, as hooks expect.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOf, systemError } from '#errdefs/errors.ts';
import { hookProgram, hooksInContainer } from '#libcontainer/hook-program.ts';
import { errnoText } from '#libcontainer/explain.ts';
import type { Hook, Hooks, Spec, State } from '#libcontainer/spec.ts';
import { log } from '#pkg/log/log.ts';
import { close, open, ownedFd, pipe2, writeAll } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { killByPidfd, pidfdOpen } from '#sys/processes.ts';
import type { MonitorClient } from './monitor/client.ts';
import type { ExitRecord } from './monitor/protocol.ts';

const HOOK_LIMIT_MS = 60_000;
const ID = /^[0-9a-f]{64}$/;

export function hasHooks(spec: Pick<Spec, 'hooks'>): boolean {
  return Object.values(spec.hooks ?? {}).some((list: readonly Hook[]) => list.length > 0);
}

export class NativeHooks {
  readonly #directory: string;
  /** Ends of hooks that run. */
  readonly #running = new Map<string, (exit: ExitRecord) => void>();
  #count = 0;

  constructor(execRoot: string) {
    this.#directory = path.join(execRoot, 'hooks');
  }

  /** The bundle of a container, made. */
  prepare(id: string, spec: Spec): { readonly bundle: string; readonly rootfs: string } {
    const bundle = path.join(this.#directory, id);
    const rootfs = path.join(bundle, 'rootfs');
    fs.mkdirSync(rootfs, { recursive: true, mode: 0o700 });
    const marked = JSON.stringify({ ...spec, root: { ...spec.root, path: rootfs } }, (_, value: unknown) =>
      typeof value === 'bigint' ? Number(value) : value,
    );
    fs.writeFileSync(path.join(bundle, 'config.json'), marked, { mode: 0o600 });
    return { bundle, rootfs };
  }

  /** An exit of the monitor's that is a hook's. */
  exited(exit: ExitRecord): boolean {
    const settle = this.#running.get(exit.id);
    settle?.(exit);
    return settle !== undefined;
  }

  /** Errors: system, naming the hook. */
  async run(
    client: MonitorClient,
    kinds: readonly (keyof Hooks)[],
    container: { readonly id: string; readonly spec: Spec; readonly pid: number; readonly status: State['status'] },
  ): Promise<void> {
    const { id, spec, pid, status } = container;
    const { annotations } = spec;
    const state: State = {
      ociVersion: spec.ociVersion,
      id,
      status,
      ...(pid === 0 ? {} : { pid }),
      bundle: path.join(this.#directory, id),
      ...(annotations === undefined ? {} : { annotations }),
    };
    for (const kind of kinds) {
      for (const [i, hook] of (spec.hooks?.[kind] ?? []).entries()) {
        try {
          await this.#runOne(client, hook, { spec, state, pid: hooksInContainer.includes(kind) ? pid : 0 });
        } catch (cause) {
          throw systemError(`error running ${kind} hook #${i}: ${messageOf(cause)}`, { cause });
        }
      }
    }
  }

  async #runOne(
    client: MonitorClient,
    hook: Hook,
    { spec, state, pid }: { readonly spec: Spec; readonly state: State; readonly pid: number },
  ): Promise<void> {
    const stdin = pipe2();
    using input = ownedFd(stdin.read);
    using nothing = ownedFd(open('/dev/null', O.RDWR));
    using pidfd = pid === 0 ? undefined : ownedFd(pidfdOpen(pid));
    using root = pid === 0 ? undefined : ownedFd(open(`/proc/${pid}/root`, O.PATH));
    const program = hookProgram(hook, {
      streams: { stdin: input.fd, stdout: nothing.fd, stderr: nothing.fd },
      spec,
      ...(pidfd === undefined || root === undefined ? {} : { container: { pidfd: pidfd.fd, root: root.fd } }),
    });
    this.#count += 1;
    const id = `hook-${this.#count}`;
    const ended = new Promise<ExitRecord>((resolve) => this.#running.set(id, resolve));
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      try {
        // It fits into a pipe; a hook that does not read it is no error.
        writeAll(stdin.write, Buffer.from(JSON.stringify(state)));
      } finally {
        close(stdin.write);
      }
      const started = await client.start({ id, program, cloneFlags: 0, held: {}, second: false });
      const limitMs = hook.timeout === undefined ? HOOK_LIMIT_MS : hook.timeout * 1000;
      let late = false;
      timer = setTimeout(() => {
        late = true;
        killPid(started.pid);
      }, limitMs);
      const outcome = await started.outcome;
      if (outcome.failed !== undefined) throw new Error(`exec "${hook.path}": ${errnoText(outcome.failed.code)}`);
      const exit = await ended;
      if (late) throw new Error(`"${hook.path}" timed out after ${limitMs} ms`);
      if (exit.code !== 0 || exit.signal !== 0) {
        throw new Error(`"${hook.path}" ended with exit status ${exit.signal === 0 ? exit.code : 128 + exit.signal}`);
      }
    } finally {
      clearTimeout(timer);
      this.#running.delete(id);
      client.forget(id);
    }
  }

  /** poststop hooks of a container that has ended, whose failure ends nothing; its bundle goes. Idempotent. */
  async release(client: () => Promise<MonitorClient>, id: string): Promise<void> {
    const bundle = path.join(this.#directory, id);
    if (!ID.test(id) || !fs.existsSync(bundle)) return;
    try {
      // as: we wrote it.
      const spec = JSON.parse(fs.readFileSync(path.join(bundle, 'config.json'), 'utf8')) as Spec;
      if ((spec.hooks?.poststop?.length ?? 0) > 0) {
        await this.run(await client(), ['poststop'], { id, spec, pid: 0, status: 'stopped' });
      }
    } catch (err) {
      log.warn('a hook failed', { container: id, kind: 'poststop', err });
    }
    fs.rmSync(bundle, { recursive: true, force: true });
  }
}

function killPid(pid: number): void {
  try {
    using pidfd = ownedFd(pidfdOpen(pid));
    killByPidfd(pidfd.fd);
  } catch (err) {
    log.debug('a hook had ended', { pid, err });
  }
}
