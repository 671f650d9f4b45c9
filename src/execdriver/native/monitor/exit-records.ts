/**
 * Exits that no daemon has taken notice of yet, in memory and appended to a file of the exec root, so that they outlive
 * both daemon and monitor (not a reboot: the exec root is a tmpfs). One line each, written by one `write`; the file is
 * rewritten when most of it is forgotten. The monitor is its only writer.
 */
import { closeSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { decodeExitRecord, type ExitRecord } from './protocol.ts';

const SLACK_LINES = 1024;

export class ExitRecords implements Disposable {
  readonly #path: string;
  readonly #records = new Map<string, ExitRecord>();
  #lines = 0;
  #fd: number;

  constructor(path: string) {
    this.#path = path;
    for (const record of readRecords(path)) this.#records.set(record.id, record);
    this.#fd = this.#rewrite();
  }

  /** Every record that was not forgotten. */
  all(): ExitRecord[] {
    return [...this.#records.values()];
  }

  append(record: ExitRecord): void {
    this.#records.set(record.id, record);
    writeSync(this.#fd, `${JSON.stringify(record)}\n`);
    this.#lines += 1;
  }

  /** Idempotent. */
  forget(id: string): void {
    if (!this.#records.delete(id)) return;
    if (this.#lines <= 2 * this.#records.size + SLACK_LINES) return;
    closeSync(this.#fd);
    this.#fd = this.#rewrite();
  }

  #rewrite(): number {
    const temporary = `${this.#path}.new`;
    writeFileSync(
      temporary,
      this.all()
        .map((r) => `${JSON.stringify(r)}\n`)
        .join(''),
      { mode: 0o600 },
    );
    renameSync(temporary, this.#path);
    this.#lines = this.#records.size;
    return openSync(this.#path, 'a', 0o600);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Records of the file; a line that a crash cut short is left out. */
export function readRecords(path: string): ExitRecord[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return []; // the first monitor of this exec root
  }
  const records: ExitRecord[] = [];
  for (const line of text.split('\n')) {
    try {
      if (line !== '') records.push(decodeExitRecord(JSON.parse(line)));
    } catch {
      // Cut short by a power failure or a full disk: the daemon records 137 for a process without a record.
    }
  }
  return records;
}
