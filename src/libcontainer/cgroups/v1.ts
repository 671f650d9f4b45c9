/**
 * A container's group in every mounted v1 hierarchy, at the same path in each. A freezer, devices and pids group exist
 * even without limits, so that pause, device changes and stats work later.
 */
import { conflict, notFound, systemError } from '#errdefs/errors.ts';
import type { Resources } from '#libcontainer/spec.ts';
import { exists, removeDirectory } from '#sys/host-files.ts';
import type { Cgroup, CgroupDirectory, CgroupJoin } from './cgroup.ts';
import { type CgroupV1Host, type V1Controller, type V1Hierarchy, v1MountOf } from './detect.ts';
import { watchOomV1 } from './oom.ts';
import { type CgroupPressure, type CgroupStats, v1Stats } from './stats.ts';
import { killAll, makeGroup, pidsBelow, pidsOf, removeGroups } from './tree.ts';
import { deviceChange, deviceFiles } from './v1-devices.ts';
import { v1Writes } from './v1-files.ts';
import {
  applyAll,
  applyLines,
  applyWrite,
  type CgroupFacts,
  type PlacedWrite,
  readIfThere,
  writeFile,
} from './write.ts';

const FREEZE_LIMIT_MS = 5_000;
/** A task that is stopped half-way in fork or ptrace keeps the group FREEZING: thaw a moment, then again. */
const FREEZE_NUDGE_EVERY = 50;

export class CgroupV1 implements Cgroup {
  readonly version = 1;
  readonly path: string;
  readonly #host: CgroupV1Host;

  /** Whether it has a group in the hierarchy without a controller too; looked up when it is not known. */
  #named: boolean | undefined;

  constructor(host: CgroupV1Host, path: string, named?: boolean) {
    this.#host = host;
    this.path = path;
    this.#named = named;
  }

  /**
   * By `tasks`, not `cgroup.procs`: a thread that moves itself alone needs no lock of the kernel's over all forks, and
   * its writer waits for an RCU grace period (4–25 ms; kernel/cgroup/cgroup.c, cgroup_procs_write_start). A container's
   * first process has one thread only.
   */
  join(): CgroupJoin {
    return { version: 1, tasks: this.directories().map(({ directory }) => `${directory}/tasks`) };
  }

  directories(): readonly CgroupDirectory[] {
    const { hierarchies, named } = this.#host;
    this.#named ??= named !== undefined && exists(named + this.path);
    const all: readonly V1Hierarchy[] =
      named !== undefined && this.#named ? [...hierarchies, { mountPoint: named, controllers: [] }] : hierarchies;
    return all.map(({ mountPoint, controllers }) => ({
      mountPoint,
      directory: mountPoint + this.path,
      controllers,
    }));
  }

  #writes(resources: Resources): PlacedWrite[] {
    return v1Writes(resources, (controller) => this.#facts(controller)).map((write) => ({
      ...write,
      // A hierarchy that is not mounted reads as a directory without files: the write is refused by the limit's name.
      directory: this.#directory(write.controller) ?? `/sys/fs/cgroup/${write.controller}${this.path}`,
    }));
  }

  update(resources: Resources): () => void {
    return applyAll(this.#writes(resources));
  }

  apply(resources: Resources): void {
    for (const write of this.#writes(resources)) applyWrite(write.directory, write);
    if (resources.devices === undefined || resources.devices.length === 0) return;
    const directory = this.#directory('devices');
    if (directory === undefined) throw systemError('Cannot restrict devices: no devices cgroup is mounted');
    const current = readIfThere(`${directory}/devices.list`);
    if (current === undefined) throw notFound('Cannot restrict devices: the cgroup is gone');
    for (const { file, line } of deviceChange(current, resources.devices)) {
      applyWrite(directory, { file, value: line, field: 'devices' });
    }
  }

  /** The first limits: the group is new, so device rules go in as they are. */
  initialize(resources: Resources): void {
    const { devices, ...rest } = resources;
    this.apply(rest);
    const directory = this.#directory('devices');
    if (devices === undefined || devices.length === 0) return;
    if (directory === undefined) throw systemError('Cannot restrict devices: no devices cgroup is mounted');
    for (const [file, lines] of deviceFiles(devices)) applyLines(directory, { file, lines, field: 'devices' });
  }

  async freeze(): Promise<void> {
    const directory = this.#freezer('freeze');
    const file = `${directory}/freezer.state`;
    const started = performance.now();
    for (let round = 1; ; round++) {
      if (round % FREEZE_NUDGE_EVERY === 0) {
        writeFile(file, 'THAWED');
        await Bun.sleep(1);
      }
      writeFile(file, 'FROZEN');
      if (readIfThere(file) === 'FROZEN') return;
      if (performance.now() - started > FREEZE_LIMIT_MS) break;
      await Bun.sleep(1);
    }
    writeFile(file, 'THAWED');
    throw systemError(`Cannot freeze cgroup "${this.path}": still freezing after ${FREEZE_LIMIT_MS} ms`);
  }

  async thaw(): Promise<void> {
    writeFile(`${this.#freezer('thaw')}/freezer.state`, 'THAWED');
  }

  frozen(): boolean {
    const state = this.#facts('freezer').read('freezer.state');
    return state === 'FROZEN' || state === 'FREEZING';
  }

  pids(): number[] {
    const directory = this.#directory('devices') ?? this.directories()[0]?.directory;
    return directory === undefined ? [] : pidsBelow(directory);
  }

  stats(): CgroupStats {
    return v1Stats((controller) => this.#facts(controller));
  }

  pressure(): CgroupPressure {
    return {};
  }

  oomKills(): number {
    const match = /^oom_kill (\d+)$/m.exec(this.#facts('memory').read('memory.oom_control') ?? '');
    return Number(match?.[1] ?? 0);
  }

  watchOom(onOom: () => void): Disposable {
    const directory = this.#directory('memory');
    if (directory === undefined) throw systemError('Cannot watch for OOM: no memory cgroup is mounted');
    return watchOomV1(directory, onOom);
  }

  setOomGroup(together: boolean): void {
    if (together) throw systemError('Cannot set memory.oom.group: cgroup v1 has no such file');
  }

  async remove(): Promise<void> {
    const directories = this.directories().map(({ directory }) => directory);
    // A process may have left one hierarchy and not another: each is asked.
    await removeGroups(directories, () => {
      killAll([...new Set(directories.flatMap(pidsBelow))]);
      const freezer = this.#directory('freezer');
      // A frozen process dies only when thawed.
      if (freezer !== undefined && this.frozen()) writeFile(`${freezer}/freezer.state`, 'THAWED');
    });
  }

  #directory(controller: V1Controller): string | undefined {
    const mount = v1MountOf(this.#host, controller);
    return mount === undefined ? undefined : mount + this.path;
  }

  #facts(controller: V1Controller): CgroupFacts {
    const directory = this.#directory(controller);
    return {
      has: (file) => directory !== undefined && exists(`${directory}/${file}`),
      read: (file) => (directory === undefined ? undefined : readIfThere(`${directory}/${file}`)),
    };
  }

  #freezer(verb: string): string {
    const directory = this.#directory('freezer');
    if (directory === undefined) throw systemError(`Cannot ${verb}: no freezer cgroup is mounted`);
    if (!exists(directory)) throw notFound(`Cannot ${verb} cgroup "${this.path}": it is gone`);
    return directory;
  }
}

/** Makes the group with its limits in every hierarchy; a failure leaves nothing of it. */
export function createCgroupV1(host: CgroupV1Host, path: string, resources: Resources, named = false): CgroupV1 {
  const made: string[] = [];
  const group = new CgroupV1(host, path, named);
  try {
    for (const { mountPoint, controllers } of host.hierarchies) {
      const cpuset = controllers.includes('cpuset');
      const isNew = makeGroup(mountPoint + path, (directory) => {
        made.push(directory);
        if (cpuset) inheritCpuset(directory);
      });
      if (!isNew && pidsOf(mountPoint + path).length > 0) {
        throw conflict(`Cannot make cgroup "${path}": there are processes in it`);
      }
    }
    if (named && host.named !== undefined) makeGroup(host.named + path, (directory) => made.push(directory));
    if (group.frozen()) throw conflict(`Cannot use cgroup "${path}": it is frozen`);
    group.initialize(resources);
  } catch (error) {
    for (const directory of made.toReversed()) {
      try {
        removeDirectory(directory);
      } catch {
        // A parent that another container has come to use meanwhile stays.
      }
    }
    throw error;
  }
  return group;
}

/** A v1 cpuset starts empty and cannot be joined so: it gets what its parent has. */
function inheritCpuset(directory: string): void {
  const parent = directory.slice(0, directory.lastIndexOf('/'));
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const value = readIfThere(`${parent}/${file}`);
    if (value) writeFile(`${directory}/${file}`, value);
  }
}
