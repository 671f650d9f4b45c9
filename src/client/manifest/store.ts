/** Manifest lists that are being put together: files below the client's configuration directory until they are pushed. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { isJson } from '../config-file/config-file.ts';

export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly variant?: string;
}

/** One image of a list. */
export interface Entry {
  /** Canonical: domain/path:tag or @digest. */
  readonly reference: string;
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform: Platform;
  /** The manifest's bytes, base64. */
  readonly raw: string;
}

const MODE = 0o644;

export class ManifestStore {
  readonly #root: string;

  constructor(configDirectory: string) {
    this.#root = path.join(configDirectory, 'berth-manifests');
  }

  /** Undefined when there is none of this name. */
  read(list: string): Entry[] | undefined {
    const file = this.#file(list);
    if (!fs.existsSync(file)) return undefined;
    const value: unknown = JSON.parse(fs.readFileSync(file, 'utf8'));
    const entries: readonly unknown[] = isJson(value) && Array.isArray(value['entries']) ? value['entries'] : [];
    // as: written by `write`.
    return entries.filter(isJson).map((entry) => entry as unknown as Entry);
  }

  write(list: string, entries: readonly Entry[]): void {
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o755 });
    writeFileAtomic(this.#file(list), JSON.stringify({ list, entries }), { mode: MODE });
  }

  /** False when there was none. */
  remove(list: string): boolean {
    const there = fs.existsSync(this.#file(list));
    fs.rmSync(this.#file(list), { force: true });
    return there;
  }

  /** References have no percent sign. */
  #file(list: string): string {
    return path.join(this.#root, `${encodeURIComponent(list)}.json`);
  }
}
