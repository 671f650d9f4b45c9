/**
 * Networks of tests live in a namespace of their own: the test file runs itself again under `unshare -n`, so nothing of
 * it ever touches the host's links, routes or rules. Containers are children of a zygote at a gate, as in a real start.
 */
import { expect, test } from 'bun:test';
import { closeSync, openSync } from 'node:fs';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import { close, writeAll } from '#sys/files.ts';
import { CLONE, NR, SOCKET, W } from '#sys/numbers.ts';
import { killByPidfd, pidfdGetfd, waitid } from '#sys/processes.ts';
import { type Gate, Program } from '#sys/program.ts';
import type { Launcher } from '#sys/zygote/launch.ts';
import { SLOW_OPTIONS } from '../../support/slow-tests.ts';

const INSIDE = 'BERTH_TEST_NETWORK_NAMESPACE';

/** True in the inner run. In the outer one it registers a test that runs `file` in a new network namespace. */
export function isInside(file: string): boolean {
  if (process.env[INSIDE] !== undefined) return true;
  test('in a network namespace of its own', async () => {
    const inner = Bun.spawn(['unshare', '-n', process.execPath, 'test', ...SLOW_OPTIONS, file], {
      env: { ...process.env, [INSIDE]: '1' },
      stdout: 'pipe',
      stderr: 'pipe',
    });
    const [output, errors] = await Promise.all([new Response(inner.stdout).text(), new Response(inner.stderr).text()]);
    if ((await inner.exited) !== 0) throw new Error(`${errors}\n${output}`);
    if (process.env['BERTH_PRINT'] !== undefined) process.stderr.write(errors);
    expect(errors).toContain(' 0 fail');
  }, 300_000);
  return false;
}

const NETLINK_SLOT = 200;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/** A process in a network namespace of its own that waits at its gate and then sleeps; commands are run beside it. */
export class TestContainer implements AsyncDisposable {
  readonly gate: NetworkGate;
  readonly #pidfd: number;
  readonly #opening: Gate;
  #ended = false;
  #left = false;

  private constructor(gate: NetworkGate, pidfd: number, opening: Gate) {
    this.gate = gate;
    this.#pidfd = pidfd;
    this.#opening = opening;
  }

  static async start(launcher: Launcher): Promise<TestContainer> {
    const program = new Program();
    const socket = program.do('netlink socket', NR.socket, SOCKET.AF_NETLINK, SOCKET.RAW, 0);
    program.doWith(socket, 'keep it', NR.dup3, NETLINK_SLOT, 0);
    const opening = program.gate('network');
    program.do('close it', NR.close, NETLINK_SLOT);
    // Held output would keep whoever runs the tests waiting; a killed test takes its children along.
    const nothing = openSync('/dev/null', 'r+');
    for (const fd of [0, 1, 2]) program.do('stdio', NR.dup3, program.fd(nothing), fd, 0);
    program.do('die with the test', NR.prctl, PR_SET_PDEATHSIG, SIGKILL);
    program.do('signal mask', NR.rt_sigprocmask, 2, program.bytes(new Uint8Array(8)), 0, 8);
    program.do('execve', NR.execve, '/bin/sleep', program.argv(['sleep', '1000']), program.argv([]));
    const arrived = Promise.withResolvers<undefined>();
    const child = await launcher.launch(program, CLONE.NEWNET, {
      onReport: (report) => {
        if (report.kind === 'arrived') arrived.resolve(undefined);
        if (report.kind === 'failed') arrived.reject(new Error(JSON.stringify(report.failure)));
      },
    });
    closeSync(nothing);
    await arrived.promise;
    const netlink = pidfdGetfd(child.pidfd, NETLINK_SLOT);
    const namespace = openSync(`/proc/${child.pid}/ns/net`, 'r');
    return new TestContainer({ pid: child.pid, netlink, namespace }, child.pidfd, opening);
  }

  /** Closes what belongs to the gate, as a start does, and lets the child go on. */
  open(): void {
    this.#leaveGate();
    this.#opening.open((fd) => writeAll(fd, Uint8Array.of(1)));
  }

  /** One descriptor left would keep the namespace, and with it the link. */
  #leaveGate(): void {
    if (this.#left) return;
    this.#left = true;
    close(this.gate.netlink);
    closeSync(this.gate.namespace);
  }

  /** Runs a command in the container's network namespace. */
  run(...command: readonly string[]): { readonly code: number; readonly out: string } {
    const done = Bun.spawnSync(['nsenter', `--net=/proc/${this.gate.pid}/ns/net`, ...command]);
    return { code: done.exitCode, out: done.stdout.toString() + done.stderr.toString() };
  }

  kill(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#leaveGate();
    killByPidfd(this.#pidfd);
    waitid(W.P_PIDFD, this.#pidfd, 0);
    close(this.#pidfd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
  }
}

/** stdout of a command in the test's own namespace. */
export function run(...command: readonly string[]): string {
  const done = Bun.spawnSync([...command]);
  if (done.exitCode !== 0) throw new Error(`${command.join(' ')}: ${done.stderr.toString()}`);
  return done.stdout.toString();
}
