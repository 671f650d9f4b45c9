/**
 * State of a bundle's container between the commands of `berth oci`: one directory for each under the root, with
 * state.json and, until `start`, the FIFOs `gate` and `outcome`. What the kernel knows is asked of the kernel: the status
 * comes from the process, never from the file.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, dataLoss, invalidParameter, notFound } from '#errdefs/errors.ts';
import { processStat } from '#sys/processes.ts';
import { OCI_VERSION, type Spec, type State } from '../spec.ts';

const ID_PATTERN = /^[\w+.-]+$/;
const ID_LENGTH_MAX = 1024;

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
    this.path = path.join(root, id);
  }

  get gate(): string {
    return path.join(this.path, 'gate');
  }

  get outcome(): string {
    return path.join(this.path, 'outcome');
  }

  /** Takes the id. Errors: conflict when another container has it. */
  create(): void {
    fs.mkdirSync(this.root, { recursive: true, mode: 0o700 });
    try {
      fs.mkdirSync(this.path, { mode: 0o711 });
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST')
        throw conflict(`container with given ID already exists: ${this.id}`, { cause: error });
      throw error;
    }
  }

  write(state: StoredState): void {
    const file = path.join(this.path, 'state.json');
    // tmpfs facts: renamed so that no reader sees half of it; not worth an fsync.
    fs.writeFileSync(`${file}.new`, JSON.stringify(state), { mode: 0o600 });
    fs.renameSync(`${file}.new`, file);
  }

  /** Errors: not-found. */
  read(): StoredState {
    let text: string;
    try {
      text = fs.readFileSync(path.join(this.path, 'state.json'), 'utf8');
    } catch (error) {
      throw notFound(`container does not exist: ${this.id}`, { cause: error });
    }
    const state: unknown = JSON.parse(text);
    if (!isStored(state)) throw dataLoss(`state of container ${this.id} cannot be read`);
    return state;
  }

  /** As read, but undefined when nothing was written yet. */
  tryRead(): StoredState | undefined {
    return fs.existsSync(path.join(this.path, 'state.json')) ? this.read() : undefined;
  }

  remove(): void {
    fs.rmSync(this.path, { recursive: true, force: true });
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
