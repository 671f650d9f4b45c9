/**
 * State of a bundle's container between the commands of `berth oci`: one directory for each under the root, with
 * state.json and, until `start`, the FIFOs `gate` and `outcome`. What the kernel knows is asked of the kernel: the status
 * comes from the process, never from the file.
 */
import { conflict, dataLoss, invalidParameter, notFound } from '#errdefs/errors.ts';
import { isErrno } from '#sys/errno.ts';
import { renameat2 } from '#sys/files.ts';
import {
  exists,
  makeDirectories,
  makeDirectory,
  readText,
  removeDirectory,
  removeFile,
  resolvePath,
  writeText,
} from '#sys/host-files.ts';
import { AT } from '#sys/numbers.ts';
import { processStat } from '#sys/processes.ts';
import { OCI_VERSION, type Spec, type State } from '../spec.ts';

const ID_PATTERN = /^[\w+.-]+$/;
const ID_LENGTH_MAX = 1024;
const STATE_FILES = ['state.json', 'state.json.new', 'gate', 'outcome'] as const;

/** A step after the last gate, so that `start` can tell what a record on the outcome FIFO means. */
export interface EndStep {
  readonly at: number;
  readonly name: string;
  readonly path?: string;
  readonly note: boolean;
}

export interface StoredState {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly pid: number;
  /** Start time of `pid`, decimal. */
  readonly startTicks: string;
  readonly cgroupPath: string;
  /** True once `start` was called (always for `run`). */
  readonly started: boolean;
  readonly endSteps: readonly EndStep[];
  readonly spec: Spec;
}

export function checkId(id: string): void {
  if (!ID_PATTERN.test(id) || id === '.' || id === '..' || id.length > ID_LENGTH_MAX)
    throw invalidParameter(`invalid container ID format: ${JSON.stringify(id)}`);
}

export class StateDirectory {
  readonly root: string;
  readonly id: string;
  readonly path: string;

  constructor(root: string, id: string) {
    checkId(id);
    this.root = root;
    this.id = id;
    this.path = resolvePath(process.cwd(), `${root}/${id}`);
  }

  get gate(): string {
    return `${this.path}/gate`;
  }

  get outcome(): string {
    return `${this.path}/outcome`;
  }

  get #file(): string {
    return `${this.path}/state.json`;
  }

  /** Takes the id. Errors: conflict when another container has it. */
  create(): void {
    makeDirectories(this.path.slice(0, this.path.lastIndexOf('/')), 0o700);
    try {
      makeDirectory(this.path, 0o711);
    } catch (error) {
      if (isErrno(error, 'EEXIST'))
        throw conflict(`container with given ID already exists: ${this.id}`, { cause: error });
      throw error;
    }
  }

  write(state: StoredState): void {
    // tmpfs facts: renamed so that no reader sees half of it; not worth an fsync.
    writeText(`${this.#file}.new`, JSON.stringify(state), 0o600);
    renameat2(AT.FDCWD, `${this.#file}.new`, AT.FDCWD, this.#file);
  }

  /** Errors: not-found. */
  read(): StoredState {
    let text: string;
    try {
      text = readText(this.#file);
    } catch (error) {
      throw notFound(`container does not exist: ${this.id}`, { cause: error });
    }
    const state: unknown = JSON.parse(text);
    if (!isStored(state)) throw dataLoss(`state of container ${this.id} cannot be read`);
    return state;
  }

  /** As read, but undefined when nothing was written yet. */
  tryRead(): StoredState | undefined {
    return exists(this.#file) ? this.read() : undefined;
  }

  remove(): void {
    for (const name of STATE_FILES) removeFile(`${this.path}/${name}`);
    try {
      removeDirectory(this.path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error;
    }
  }
}

/** Our own file, written whole by `write`: only its outline is checked. */
function isStored(value: unknown): value is StoredState {
  return typeof value === 'object' && value !== null && 'pid' in value && 'spec' in value && 'startTicks' in value;
}

export type Status = State['status'];

export function statusOf(state: StoredState): Status {
  const stat = processStat(state.pid);
  const alive = stat !== undefined && String(stat.startTicks) === state.startTicks && !'ZXx'.includes(stat.state);
  if (!alive) return 'stopped';
  return state.started ? 'running' : 'created';
}

/** What hooks read and `state` prints. */
export function ociState(state: StoredState, status: Status): State {
  const { annotations } = state.spec;
  return {
    ociVersion: state.spec.ociVersion === '' ? OCI_VERSION : state.spec.ociVersion,
    id: state.id,
    pid: status === 'stopped' ? 0 : state.pid,
    status,
    bundle: state.bundle,
    ...(annotations === undefined ? {} : { annotations }),
  };
}
