/**
 * The exec drivers by the names that HostConfig.Runtime may have: our own, runc and crun where they are installed, and
 * those of the configuration. Reread at SIGHUP: a runtime that is taken away is not offered any more, but its driver
 * stays for the containers that it runs.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { DaemonConfig } from '#config/daemon-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { ExecDriver } from '#execdriver/driver.ts';
import { NativeDriver } from '#execdriver/native/driver.ts';
import { OciDriver } from '#execdriver/oci/driver.ts';
import type { CgroupLayout } from '#libcontainer/cgroups/layout.ts';
import { spareMounts } from '#libcontainer/mounts/spare-mounts.ts';

/** The name of our own runtime. */
export const NATIVE_RUNTIME = 'berth';
/** Known by name when they are installed. */
const OTHER_RUNTIMES = ['runc', 'crun'];
const PROGRAM_DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

interface Offered {
  readonly path: string;
  readonly args: readonly string[];
}

export class Runtimes {
  readonly #options: { readonly execRoot: string; readonly cgroups: CgroupLayout };
  readonly #drivers = new Map<string, ExecDriver>();
  #offered: ReadonlyMap<string, Offered> = new Map();

  constructor(options: { readonly execRoot: string; readonly cgroups: CgroupLayout }) {
    this.#options = options;
    const monitor = { monitorCommand: monitorCommand(), cgroups: options.cgroups };
    this.#drivers.set(
      NATIVE_RUNTIME,
      new NativeDriver({ execRoot: options.execRoot, spares: spareMounts(), ...monitor }),
    );
  }

  /** Also of runtimes that are not offered any more. */
  get drivers(): ReadonlyMap<string, ExecDriver> {
    return this.#drivers;
  }

  /** What /info shows and create accepts. */
  get offered(): ReadonlyMap<string, Offered> {
    return this.#offered;
  }

  /** Errors: invalid-parameter, and nothing has changed, when the default is none of them. */
  configure(config: Pick<DaemonConfig, 'runtimes' | 'defaultRuntime'>): void {
    const next = new Map<string, Offered>([[NATIVE_RUNTIME, { path: NATIVE_RUNTIME, args: [] }]]);
    for (const name of OTHER_RUNTIMES) {
      const found = findProgram(name);
      if (found !== undefined) next.set(name, { path: found, args: [] });
    }
    for (const { name, path: program, args } of config.runtimes) {
      next.set(name, { path: program.startsWith('/') ? program : (findProgram(program) ?? program), args });
    }
    if (!next.has(config.defaultRuntime)) {
      throw invalidParameter(`invalid value for "default-runtime": "${config.defaultRuntime}" is not installed`);
    }
    for (const [name, offered] of next) if (name !== NATIVE_RUNTIME) this.#open(name, offered);
    this.#offered = next;
  }

  #open(name: string, { path: runtime, args: runtimeArgs }: Offered): void {
    const known = this.#drivers.get(name);
    if (known instanceof OciDriver) {
      known.reconfigure(runtime, runtimeArgs);
      return;
    }
    const { execRoot, cgroups } = this.#options;
    const own = path.join(execRoot, 'runtimes', name);
    fs.mkdirSync(own, { recursive: true, mode: 0o700 });
    const common = { monitorCommand: monitorCommand(), cgroups };
    this.#drivers.set(name, new OciDriver({ name, runtime, runtimeArgs, execRoot: own, ...common }));
  }
}

function findProgram(name: string): string | undefined {
  return PROGRAM_DIRECTORIES.map((directory) => path.join(directory, name)).find((file) => fs.existsSync(file));
}

/** From source by the same runtime; the built executable is the monitor too. */
function monitorCommand(): string[] {
  if (import.meta.url.includes('/$bunfs/')) return [process.execPath, 'monitor'];
  return [process.execPath, path.resolve(import.meta.dirname, '../cmd/monitor.ts')];
}
