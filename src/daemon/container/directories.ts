/**
 * Directories of containers. They are made ahead, with the files that a start writes: a new inode is what costs (a file
 * system without a journal looks at each one that was deleted lately), and a start that has to make four of them waits
 * half a millisecond. Spares lie beside the containers' directories; what an earlier daemon left of them goes at the start.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { Spares } from '#pkg/spares/spares.ts';
import { pathsOf } from './generated-paths.ts';

const MODE = 0o710;

export class ContainerDirectories implements Disposable {
  readonly #home: string;
  readonly #spares = new Spares<string>((directory) => fs.rmSync(directory, { recursive: true, force: true }));
  #made = 0;

  /** `home`: on the same file system as the containers' directories; this one's alone. */
  constructor(home: string) {
    this.#home = home;
    fs.rmSync(home, { recursive: true, force: true });
    fs.mkdirSync(home, { mode: MODE });
  }

  /** Makes `directory`, whose parent exists; nothing happens when it is there already. */
  make(directory: string): void {
    const spare = this.#spares.take('', () => this.#makeSpare());
    try {
      fs.renameSync(spare, directory);
    } catch (error) {
      fs.rmSync(spare, { recursive: true, force: true });
      const there = error instanceof Error && 'code' in error && /^(ENOTEMPTY|EEXIST)$/.test(String(error.code));
      if (!there) throw error;
    }
  }

  #makeSpare(): string {
    const directory = path.join(this.#home, String(this.#made++));
    fs.mkdirSync(directory, { mode: MODE });
    try {
      const { hosts, hostname, resolvConf } = pathsOf(directory);
      for (const file of [hosts, hostname, resolvConf]) fs.writeFileSync(file, '', { mode: 0o644 });
      return directory;
    } catch (error) {
      fs.rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#spares[Symbol.dispose]();
  }
}
