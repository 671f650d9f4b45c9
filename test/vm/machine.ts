/**
 * One running test machine: QEMU with tcg, a share for commands, a second disk with the executable under test. A reboot
 * or panic of the guest ends QEMU (`-no-reboot`); `reboot` starts it again on the same disk.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually, must } from '../support/command.ts';
import { ensureVmImage, type Flavour, type VmImage, vmDirectory } from './image.ts';

/** A machine that others use as well may have one to spare. */
const CPUS = process.env['BERTH_VM_CPUS'] ?? '2';

export interface GuestResult {
  readonly code: number;
  readonly output: string;
}

/** The docker CLI of this host, which runs in the guest as well. */
export function dockerCli(): string {
  const found = (process.env['PATH'] ?? '')
    .split(':')
    .map((p) => path.join(p, 'docker'))
    .find((f) => fs.existsSync(f));
  if (found === undefined) throw new Error('no docker CLI on the PATH');
  return fs.realpathSync(found);
}

export interface MachineRequest {
  /** Files for the read-only disk that the guest mounts at /berth. */
  readonly payload: Readonly<Record<string, string>>;
  /** What is installed; `plain` unless told. */
  readonly flavour?: Flavour;
  readonly memoryMegabytes?: number;
}

export class Machine implements AsyncDisposable {
  readonly #image: VmImage;
  readonly #directory: string;
  readonly #disk: string;
  readonly #memory: number;
  #child: ChildProcess | undefined;
  #console = '';
  #next = 1;

  private constructor(image: VmImage, directory: string, memory: number) {
    this.#image = image;
    this.#directory = directory;
    this.#memory = memory;
    this.#disk = path.join(directory, 'disk.img');
  }

  static async boot({ payload, flavour = 'plain', memoryMegabytes = 2048 }: MachineRequest): Promise<Machine> {
    const image = await ensureVmImage(flavour);
    const directory = fs.mkdtempSync(path.join(vmDirectory(flavour), 'run-'));
    fs.mkdirSync(path.join(directory, 'share/cmd'), { recursive: true });
    const machine = new Machine(image, directory, memoryMegabytes);
    const content = path.join(directory, 'payload');
    fs.mkdirSync(content);
    for (const [name, source] of Object.entries(payload)) fs.copyFileSync(source, path.join(content, name));
    await must('cp', ['--sparse=always', image.disk, machine.#disk], { limitMs: 120_000 });
    const second = path.join(directory, 'payload.img');
    fs.writeFileSync(second, '');
    fs.truncateSync(second, 512 * 2 ** 20);
    await must('mkfs.ext4', ['-q', '-F', '-d', content, second], { limitMs: 120_000 });
    try {
      await machine.#launch();
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  /** The directory that is /host inside. */
  get share(): string {
    return path.join(this.#directory, 'share');
  }

  get console(): string {
    return this.#console;
  }

  async #launch(): Promise<void> {
    const share = path.join(this.#directory, 'share');
    fs.rmSync(path.join(share, 'booted'), { force: true });
    const args = [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-m', String(this.#memory), '-smp', CPUS],
      ...['-nographic', '-no-reboot', '-net', 'none'],
      ...['-kernel', this.#image.kernel, '-initrd', this.#image.initrd],
      ...['-append', 'console=ttyS0 quiet panic=1 apparmor=1 security=apparmor mitigations=off no5lvl nosmap'],
      ...['-drive', `file=${this.#disk},if=virtio,format=raw,cache=unsafe`],
      ...['-drive', `file=${path.join(this.#directory, 'payload.img')},if=virtio,format=raw,readonly=on`],
      ...['-virtfs', `local,path=${share},mount_tag=host,security_model=none`],
    ];
    const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stdout?.on('data', (b: Buffer) => {
      this.#console += b.toString();
    });
    child.stderr?.on('data', (b: Buffer) => {
      this.#console += b.toString();
    });
    await eventually(
      'the machine boots',
      () => {
        if (child.exitCode !== null) throw new Error(`QEMU ended with ${child.exitCode}\n${this.#console}`);
        return fs.existsSync(path.join(share, 'booted'));
      },
      420_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.#console}`);
    });
  }

  /** Runs a shell script in the guest. */
  async run(script: string, limitMs = 120_000): Promise<GuestResult> {
    const name = String(this.#next++).padStart(5, '0');
    const base = path.join(this.#directory, 'share/cmd', name);
    fs.writeFileSync(`${base}.tmp`, `${script}\n`);
    fs.renameSync(`${base}.tmp`, `${base}.sh`);
    await eventually(`the guest runs: ${script.slice(0, 200)}`, () => fs.existsSync(`${base}.rc`), limitMs).catch(
      (error: unknown) => {
        const so = fs.existsSync(`${base}.out`) ? fs.readFileSync(`${base}.out`, 'utf8') : '';
        throw new Error(`${String(error)}\n${so}\n${this.#console.slice(-2000)}`);
      },
    );
    const result = {
      code: Number(fs.readFileSync(`${base}.rc`, 'utf8')),
      output: fs.readFileSync(`${base}.out`, 'utf8'),
    };
    // The agent looks at every script that lies there, several times a second, over 9p. Its own mark first.
    for (const end of ['sh', 'started', 'out', 'rc']) fs.rmSync(`${base}.${end}`);
    return result;
  }

  /** As `run`, and throws when the code is not 0. */
  async must(script: string, limitMs?: number): Promise<string> {
    const r = await this.run(script, limitMs);
    if (r.code !== 0) throw new Error(`in the guest: ${script}\nexit ${r.code}\n${r.output}`);
    return r.output.trim();
  }

  /** `systemctl reboot`, and waits until the machine is up again. */
  async reboot(): Promise<void> {
    const child = this.#child;
    if (child === undefined) throw new Error('the machine does not run');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    const name = String(this.#next++).padStart(5, '0');
    fs.writeFileSync(path.join(this.#directory, 'share/cmd', `${name}.sh`), 'systemctl reboot --no-block\n');
    const limit = setTimeout(() => child.kill('SIGKILL'), 180_000);
    await ended;
    clearTimeout(limit);
    await this.#launch();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    fs.rmSync(this.#directory, { recursive: true, force: true });
  }
}
