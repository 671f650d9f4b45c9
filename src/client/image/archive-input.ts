/** An archive to send: a file by name, or what comes on stdin. */
import { statSync } from 'node:fs';

/** Throws docker's words when the file is not there. */
export function archiveOf(path: string): Blob {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) throw new Error(`open ${path}: no such file or directory`);
  if (stat.isDirectory()) throw new Error(`read ${path}: is a directory`);
  return Bun.file(path);
}

export function archiveOnStdin(): ReadableStream<Uint8Array> {
  return Bun.stdin.stream();
}
