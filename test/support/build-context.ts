/** A directory with a Dockerfile and files, for builds; gone at the end of its scope. */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export const BASE = 'berth.test/busybox:1';

export class BuildDirectory implements Disposable {
  readonly path = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-context-'));

  constructor(dockerfile: string, files: Readonly<Record<string, string>> = {}) {
    this.write('Dockerfile', dockerfile);
    for (const [name, content] of Object.entries(files)) this.write(name, content);
  }

  write(name: string, content: string | Uint8Array, mode = 0o644): void {
    const file = path.join(this.path, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
    fs.chmodSync(file, mode);
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.path, { recursive: true, force: true });
  }
}
