/**
 * Steps of the list that work on mounts inside the container's namespaces. Targets are opened below the root descriptor
 * with RESOLVE_IN_ROOT and without symlinks or magic links: the paths are real ones, found by MountTable, so a link that
 * appears in between is an attack or a mistake and ends the start.
 */
import { AT, FSCONFIG, FSMOUNT, FSOPEN, MOVE_MOUNT, NR, O, OPEN_TREE, RESOLVE } from '#sys/numbers.ts';
import { type Address, type Program, type ProgramArgument, type Source, type StepIndex } from '#sys/program.ts';

const HOW_BYTES = 24;

export interface OpenOptions {
  readonly flags?: number;
  readonly resolve?: number;
  /** The errno that is forgiven; what follows must then forgive EBADF or be skipped. */
  readonly forgives?: string;
  readonly name?: string;
}

/** Numbers of the child's table that are used again and again. */
export class Slots {
  readonly context: Source;
  readonly mount: Source;
  readonly proc: Source;
  readonly spare: Source;

  constructor(program: Program) {
    this.context = program.slot();
    this.mount = program.slot();
    this.proc = program.slot();
    this.spare = program.slot();
  }
}

/** The list of one container together with its root directory. */
export class InsideMounts {
  readonly program: Program;
  readonly root: Source;
  readonly slots: Slots;
  readonly #hows = new Map<string, Address>();

  constructor(program: Program, root: Source, slots: Slots) {
    this.program = program;
    this.root = root;
    this.slots = slots;
  }

  /** Puts the result of a step into `slot`. */
  keep(from: StepIndex, slot: Source): Source {
    this.program.doWith(from, 'keep a descriptor', NR.dup3, slot, O.CLOEXEC);
    return slot;
  }

  #how(flags: number, resolve: number): Address {
    const key = `${flags},${resolve}`;
    let address = this.#hows.get(key);
    if (address === undefined) {
      const how = BigUint64Array.of(BigInt(flags | O.CLOEXEC), 0n, BigInt(resolve));
      address = this.program.bytes(new Uint8Array(how.buffer));
      this.#hows.set(key, address);
    }
    return address;
  }

  /** Opens a real path of the container. */
  open(path: string, options: OpenOptions = {}): StepIndex {
    const { flags = O.PATH, resolve = RESOLVE.NO_SYMLINKS } = options;
    const how = this.#how(flags, resolve | RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS);
    const relative = path === '/' ? '.' : path.slice(1);
    const name = options.name ?? `open ${path}`;
    const args: ProgramArgument[] = [this.root, relative, how, HOW_BYTES];
    return options.forgives === undefined
      ? this.program.do(name, NR.openat2, ...args)
      : this.program.optional(name, options.forgives, NR.openat2, ...args);
  }

  /** Attaches a detached mount at what the step `target` opened. The descriptor then stands for the attached one. */
  attach(name: string, mount: Source, target: StepIndex, forgives?: string): StepIndex {
    const args: ProgramArgument[] = [mount, '', 0, '', MOVE_MOUNT.F_EMPTY_PATH | MOVE_MOUNT.T_EMPTY_PATH];
    const step =
      forgives === undefined
        ? this.program.do(name, NR.move_mount, ...args)
        : this.program.optional(name, forgives, NR.move_mount, ...args);
    this.program.feed(target, step, 2);
    return step;
  }

  /** As attach, with the mount that the step `source` has opened. */
  attachOpened(name: string, source: StepIndex, target: StepIndex): void {
    const flags = MOVE_MOUNT.F_EMPTY_PATH | MOVE_MOUNT.T_EMPTY_PATH;
    const step = this.program.do(name, NR.move_mount, 0, '', 0, '', flags);
    this.program.feed(source, step, 0);
    this.program.feed(target, step, 2);
  }

  /** A detached copy (slot `mount`) of a mount that is already in this namespace. */
  copy(name: string, mount: Source, recursive = false): Source {
    const flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
    return this.keep(this.program.do(name, NR.open_tree, mount, '', flags), this.slots.mount);
  }

  /** A detached copy (slot `mount`) of what the step `opened` opened. */
  copyOf(name: string, opened: StepIndex, recursive: boolean): Source {
    const flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
    return this.keep(this.program.doWith(opened, name, NR.open_tree, '', flags), this.slots.mount);
  }

  /** Makes a file system of the container's own namespaces: a detached mount in `into`. */
  make(
    type: string,
    parameters: readonly (readonly [key: string, value?: string])[],
    attributes: number,
    into: Source = this.slots.mount,
  ): Source {
    const { program } = this;
    const context = this.keep(program.do(`fsopen ${type}`, NR.fsopen, type, FSOPEN.CLOEXEC), this.slots.context);
    for (const [key, value] of parameters) {
      const name = `${type} option ${key}`;
      if (value === undefined) program.do(name, NR.fsconfig, context, FSCONFIG.SET_FLAG, key, 0, 0);
      else program.do(name, NR.fsconfig, context, FSCONFIG.SET_STRING, key, value, 0);
    }
    program.do(`make ${type}`, NR.fsconfig, context, FSCONFIG.CMD_CREATE, 0, 0, 0);
    return this.keep(program.do(`mount ${type}`, NR.fsmount, context, FSMOUNT.CLOEXEC, attributes), into);
  }

  setAttributes(name: string, mount: Source, set: number, options: { clear?: number; recursive?: boolean } = {}): void {
    const struct = BigUint64Array.of(BigInt(set), BigInt(options.clear ?? 0), 0n, 0n);
    const bytes = new Uint8Array(struct.buffer);
    const flags = AT.EMPTY_PATH | (options.recursive === true ? AT.RECURSIVE : 0);
    this.program.do(name, NR.mount_setattr, mount, '', flags, this.program.bytes(bytes), bytes.length);
  }

  setPropagation(name: string, mount: Source, propagation: number, recursive: boolean): void {
    const struct = BigUint64Array.of(0n, 0n, BigInt(propagation), 0n);
    const bytes = new Uint8Array(struct.buffer);
    const flags = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
    this.program.do(name, NR.mount_setattr, mount, '', flags, this.program.bytes(bytes), bytes.length);
  }
}
