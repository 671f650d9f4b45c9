/**
 * A container's group on cgroup v2. Its parents delegate every controller they have; devices are a program attached to
 * the group. Processes join by CLONE_INTO_CGROUP or by writing themselves into cgroup.procs.
 */
import { conflict, messageOf, notFound, systemError } from '#errdefs/errors.ts';
import type { Resources } from '#libcontainer/spec.ts';
import { exists, parentOf, removeDirectory } from '#sys/host-files.ts';
import type { Cgroup, CgroupDirectory, CgroupJoin } from './cgroup.ts';
import type { CgroupV2Host } from './detect.ts';
import { watchOomV2 } from './oom.ts';
import { type CgroupPressure, type CgroupStats, flatKeyed, v2Stats, v2Pressure } from './stats.ts';
import { groupsBelow, killAll, makeGroup, pidsBelow, removeGroups } from './tree.ts';
import { replaceDevices } from './v2-devices.ts';
import { v2Writes } from './v2-files.ts';
import { applyAll, applyWrite, type CgroupFacts, codeOf, readIfThere, writeFile } from './write.ts';

const FREEZE_LIMIT_MS = 5_000;

export class CgroupV2 implements Cgroup {
  readonly version = 2;
  readonly path: string;
  readonly #mountPoint: string;

  constructor(host: CgroupV2Host, path: string) {
    this.#mountPoint = host.mountPoint;
    this.path = path;
  }

  get #directory(): string {
    return this.#mountPoint + this.path;
  }

  join(init?: number): CgroupJoin {
    return { version: 2, directory: (init === undefined ? undefined : this.#movedTo(init)) ?? this.#directory };
  }

  /**
   * A container that has groups of its own (systemd, another engine) gives their controllers from its root, which then can
   * take no process any more (EBUSY): who joins goes where the first process went. Never out of the group.
   */
  #movedTo(init: number): string | undefined {
    const given = this.#facts().read('cgroup.subtree_control') ?? '';
    if (given === '') return undefined;
    const group = /^0::(.*)$/m.exec(readIfThere(`/proc/${init}/cgroup`) ?? '')?.[1];
    return group?.startsWith(`${this.path}/`) && !group.includes('/..') ? this.#mountPoint + group : undefined;
  }

  directories(): readonly CgroupDirectory[] {
    return [{ mountPoint: this.#mountPoint, directory: this.#directory, controllers: [] }];
  }

  apply(resources: Resources): void {
    const directory = this.#directory;
    for (const write of v2Writes(resources, this.#facts())) applyWrite(directory, write);
    if (resources.devices !== undefined && resources.devices.length > 0) replaceDevices(directory, resources.devices);
  }

  update(resources: Resources): () => void {
    const directory = this.#directory;
    return applyAll(v2Writes(resources, this.#facts()).map((write) => ({ ...write, directory })));
  }

  async freeze(): Promise<void> {
    this.#write('cgroup.freeze', '1', 'freeze');
    const started = performance.now();
    while (flatKeyed(this.#facts().read('cgroup.events'))['frozen'] !== 1n) {
      if (performance.now() - started > FREEZE_LIMIT_MS) {
        this.#write('cgroup.freeze', '0', 'thaw');
        throw systemError(`Cannot freeze cgroup "${this.path}": still freezing after ${FREEZE_LIMIT_MS} ms`);
      }
      await Bun.sleep(1);
    }
  }

  async thaw(): Promise<void> {
    this.#write('cgroup.freeze', '0', 'thaw');
  }

  frozen(): boolean {
    return this.#facts().read('cgroup.freeze') === '1';
  }

  pids(): number[] {
    return pidsBelow(this.#directory);
  }

  stats(): CgroupStats {
    return v2Stats(this.#facts());
  }

  pressure(): CgroupPressure {
    return v2Pressure(this.#facts());
  }

  oomKills(): number {
    return Number(flatKeyed(this.#facts().read('memory.events'))['oom_kill'] ?? 0n);
  }

  watchOom(onOom: () => void): Disposable {
    return watchOomV2(this.#directory, onOom);
  }

  setOomGroup(together: boolean): void {
    applyWrite(this.#directory, { file: 'memory.oom.group', value: together ? '1' : '0', field: 'memory.oom.group' });
  }

  async remove(): Promise<void> {
    const directory = this.#directory;
    await removeGroups([directory], () => {
      try {
        writeFile(`${directory}/cgroup.kill`, '1');
      } catch (error) {
        if (codeOf(error) === 'ENODEV') return;
        // cgroup.kill came with Linux 5.14 and is not in threaded groups.
        killAll(groupsBelow(directory).flatMap(pidsBelow));
      }
    });
  }

  #facts(): CgroupFacts {
    const directory = this.#directory;
    return {
      has: (file) => exists(`${directory}/${file}`),
      read: (file) => readIfThere(`${directory}/${file}`),
    };
  }

  #write(file: string, value: string, verb: string): void {
    if (!exists(this.#directory)) throw notFound(`Cannot ${verb} cgroup "${this.path}": it is gone`);
    writeFile(`${this.#directory}/${file}`, value);
  }
}

/** Makes the group with its limits; a failure leaves nothing of it. */
export function createCgroupV2(host: CgroupV2Host, path: string, resources: Resources): CgroupV2 {
  const made: string[] = [];
  const group = new CgroupV2(host, path);
  const directory = host.mountPoint + path;
  try {
    makeGroup(parentOf(directory), (parent) => made.push(parent));
    delegate(host.mountPoint, parentOf(path));
    if (!makeGroup(directory, (child) => made.push(child))) {
      if (flatKeyed(readIfThere(`${directory}/cgroup.events`))['populated'] === 1n) {
        throw conflict(`Cannot make cgroup "${path}": there are processes in it`);
      }
      if (group.frozen()) throw conflict(`Cannot use cgroup "${path}": it is frozen`);
    }
    group.apply(resources);
  } catch (error) {
    for (const child of made.toReversed()) {
      try {
        removeDirectory(child);
      } catch {
        // A parent that another container has come to use meanwhile stays.
      }
    }
    throw error;
  }
  return group;
}

const words = (text: string | undefined): string[] => (text ?? '').split(/\s+/).filter((word) => word !== '');

/** Switches every controller on for the children of each group from the mount point down to `path`. */
export function delegate(mountPoint: string, path: string): void {
  let directory = mountPoint;
  for (const name of ['', ...path.split('/').filter((part) => part !== '')]) {
    if (name !== '') directory = `${directory}/${name}`;
    const on = new Set(words(readIfThere(`${directory}/cgroup.subtree_control`)));
    for (const controller of words(readIfThere(`${directory}/cgroup.controllers`))) {
      if (!on.has(controller)) enable(directory, controller);
    }
  }
}

/** One at a time: a controller that cannot be had (cpu beside real-time processes) must not cost the others. */
function enable(directory: string, controller: string): void {
  try {
    writeFile(`${directory}/cgroup.subtree_control`, `+${controller}`);
  } catch (error) {
    // The limit that needs it is refused by its name when it is asked for.
    if (codeOf(error) !== 'EBUSY') return;
    throw systemError(
      `Cannot enable cgroup controller "${controller}" below "${directory}": it has processes of its own ` +
        `(${messageOf(error)})`,
      { cause: error },
    );
  }
}
