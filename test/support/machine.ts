/**
 * Another machine beside the host of a test: a network namespace with one link to the test's own. Tests that make one run
 * in a namespace of their own (integration/network/namespace.ts), so that nothing of it ever meets the true host.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { type CommandResult, eventually, must, run } from './command.ts';

export interface MachineAddresses {
  /** Name of the host's end of the link. */
  readonly link: string;
  /** '192.0.2.1/24', 'fd00:2::1/64' */
  readonly host: readonly string[];
  readonly own: readonly string[];
}

export class Machine implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #link: string;

  private constructor(child: ChildProcess, link: string) {
    this.#child = child;
    this.#link = link;
  }

  static async start({ link, host, own }: MachineAddresses): Promise<Machine> {
    const child = spawn('unshare', ['-n', 'sleep', '1000'], { stdio: 'ignore' });
    const machine = new Machine(child, link);
    try {
      const ours = readlinkSync('/proc/self/ns/net');
      await eventually('the namespace is there', () => readlinkSync(`/proc/${child.pid}/ns/net`) !== ours);
      await must('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'eth0', 'netns', String(child.pid)]);
      for (const address of host) await must('ip', ['addr', 'add', address, 'dev', link, ...nodad(address)]);
      await must('ip', ['link', 'set', link, 'up']);
      await machine.must('ip', 'link', 'set', 'lo', 'up');
      for (const address of own) await machine.must('ip', 'addr', 'add', address, 'dev', 'eth0', ...nodad(address));
      await machine.must('ip', 'link', 'set', 'eth0', 'up');
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a program of the host in the machine's namespace. */
  run(...command: readonly string[]): Promise<CommandResult> {
    return run('nsenter', [`--net=/proc/${this.#child.pid}/ns/net`, ...command]);
  }

  async must(...command: readonly string[]): Promise<string> {
    return must('nsenter', [`--net=/proc/${this.#child.pid}/ns/net`, ...command]);
  }

  /** Pid of a process in the namespace, for `scriptInside`. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
    await run('ip', ['link', 'del', this.#link]); // or gone with the namespace
  }
}

const nodad = (address: string): string[] => (address.includes(':') ? ['nodad'] : []);
