/**
 * What must be known of a running process after the death of daemon and monitor, one small file each in the exec root
 * (tmpfs): written before the process is let through its last gate, removed by `release`.
 */
import { mkdirSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { log } from '#pkg/log/log.ts';

export interface ProcessFacts {
  readonly id: string;
  readonly pid: number;
  readonly startTicks: bigint;
  readonly startedAt: Date;
  readonly tty: boolean;
  /** Group of a container's first process, below each mount point; an exec has none of its own. */
  readonly cgroup?: string;
}

export class ProcessFiles {
  readonly #directory: string;

  constructor(execRoot: string) {
    this.#directory = `${execRoot}/processes`;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  write(facts: ProcessFacts): void {
    // Not by a temporary name: one that is cut short belongs to a child that was never let through its gate.
    const text = JSON.stringify({ ...facts, startTicks: String(facts.startTicks) });
    writeFileSync(this.#path(facts.id), text, { mode: 0o600 });
  }

  /** Idempotent. On a thread of the runtime's: where the exec root is no tmpfs it took this one up to 16 ms. */
  async remove(id: string): Promise<void> {
    try {
      await unlink(this.#path(id));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
  }

  all(): ProcessFacts[] {
    const facts: ProcessFacts[] = [];
    for (const name of readdirSync(this.#directory)) {
      if (!name.endsWith('.json')) continue;
      try {
        facts.push(decode(JSON.parse(readFileSync(`${this.#directory}/${name}`, 'utf8'))));
      } catch (error) {
        log.warn('a process file was cut short', { file: name, err: error });
        unlinkSync(`${this.#directory}/${name}`);
      }
    }
    return facts;
  }

  #path(id: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(id)) throw new RangeError(`"${id}" is no id of a process`);
    return `${this.#directory}/${id}.json`;
  }
}

function decode(value: unknown): ProcessFacts {
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
  const fields = value as Readonly<Record<string, unknown>>; // checked: an object that came from JSON
  const { id, pid, startTicks, startedAt, tty, cgroup } = fields;
  if (typeof id !== 'string' || typeof pid !== 'number' || typeof startTicks !== 'string')
    throw new TypeError('no process');
  if (typeof startedAt !== 'string' || typeof tty !== 'boolean') throw new TypeError('no process');
  const facts = { id, pid, startTicks: BigInt(startTicks), startedAt: new Date(startedAt), tty };
  return typeof cgroup === 'string' ? { ...facts, cgroup } : facts;
}
