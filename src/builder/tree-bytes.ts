/** Apparent size of a directory's files. */
import * as fs from 'node:fs';
import * as path from 'node:path';

export async function treeBytes(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await fs.promises.readdir(directory, { withFileTypes: true })) {
    const full = path.join(directory, entry.name);
    if (entry.isDirectory()) bytes += await treeBytes(full);
    else if (entry.isFile()) bytes += (await fs.promises.lstat(full)).size;
  }
  return bytes;
}
