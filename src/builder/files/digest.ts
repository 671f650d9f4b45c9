/**
 * What a cached COPY is recognised by: names, kinds, modes, owners where they count, extended attributes, link targets,
 * device numbers and contents. Times are not part of it: a fresh checkout of the same commit is the same.
 */
import { listOpenXattrs, listXattrs, readOpenXattr, readXattr } from '#pkg/archive/attributes.ts';
import { pathVia, kernelName } from '#pkg/archive/directories.ts';
import type { ByteString } from '#pkg/archive/entry.ts';
import { close, type FileStatus, fstat, open, openat, read } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { isArchive } from './archive-file.ts';
import { below, both, type Ignored, ignoreRule } from './ignore.ts';
import { type DigestJob, type DigestResult, pivoted, type Selection } from './jobs.ts';
import { asBytes, type Matched, select } from './select.ts';
import { linkTarget, walkBelow } from './walk.ts';

const PIECE_BYTES = 1 << 20;
/** Enough for the first block of what is compressed. */
const HEAD_BYTES = 64 << 10;
const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
/** Say nothing of a file elsewhere. */
const LEFT_OUT = /^(?:trusted\.overlay\.|user\.overlay\.|security\.(?:selinux|ima|evm|apparmor)$|system\.)/;

export function digest(job: DigestJob, step: () => void): DigestResult {
  const { selection } = job;
  const all = new Bun.CryptoHasher('sha256');
  let files = 0;
  let bytes = 0;
  const matched = select(selection, ignoreRule(selection.ignore));
  const add = (
    path: ByteString,
    status: FileStatus,
    at: Buffer,
    link: () => ByteString,
    content: () => number,
  ): void => {
    const kind = status.mode & S_IF.MT;
    const mode = kind === S_IF.LNK ? kind : status.mode;
    let line = `${path}\0${mode.toString(8)}\0`;
    if (job.owners) line += `${status.uid}:${status.gid}\0`;
    if (kind === S_IF.CHR || kind === S_IF.BLK) line += `${status.rdevMajor}:${status.rdevMinor}\0`;
    if (kind === S_IF.REG) {
      const fd = content();
      try {
        line += attributes(listOpenXattrs(fd), (name) => readOpenXattr(fd, name));
        line += hashOf(fd, status.size, step);
      } finally {
        close(fd);
      }
      bytes += status.size;
    } else line += attributes(listXattrs(at), (name) => readXattr(at, name));
    if (kind === S_IF.LNK) line += link();
    files += 1;
    all.update(Buffer.from(`${line}\n`, 'latin1'));
  };
  try {
    for (const source of matched) {
      const named = nameOf(source, selection.parents);
      const ignored = exceptions(selection, source);
      all.update(Buffer.from(`source\0${source.directory ? 'directory' : 'file'}\0${named}\n`, 'latin1'));
      const self = kernelName(`/proc/self/fd/${source.fd.fd}`);
      if (!source.directory) {
        add(
          '',
          fstat(source.fd.fd),
          self,
          () => '',
          () => open(self, O.RDONLY),
        );
        continue;
      }
      const visit = (path: ByteString, status: FileStatus, directory: number, name: ByteString): void =>
        add(
          path,
          status,
          pathVia(directory, name),
          () => linkTarget(directory, name),
          () => openat(directory, kernelName(name), O.RDONLY | O.NOFOLLOW),
        );
      walkBelow(source.fd.fd, source.path, ignored, {
        visit: ({ path, status, directory, name }) => visit(path, status, directory, name),
        step,
      });
    }
    const archives = job.archives ? [...matched.keys()].filter((index) => isArchiveAt(matched[index])) : [];
    const result = matched.map(({ path, directory }) => ({ path, directory }));
    return { digest: `sha256:${all.digest('hex')}`, files, bytes, matched: result, archives };
  } finally {
    for (const { fd } of matched) fd[Symbol.dispose]();
  }
}

function attributes(names: ByteString[], read: (name: ByteString) => Buffer | undefined): string {
  let line = '';
  for (const name of names.sort()) {
    if (!LEFT_OUT.test(name)) line += `${name}=${read(name)?.toString('hex') ?? ''}\0`;
  }
  return line;
}

/** What of a source's name shows in the target: the last component of a file, with --parents the path. */
function nameOf(source: Matched, parents: boolean): ByteString {
  const path = asBytes(source.path);
  if (parents) return pivoted(source.source, path);
  return source.directory ? '' : path.slice(path.lastIndexOf('/') + 1);
}

/** What .dockerignore and --exclude leave out of a source. */
export function exceptions(selection: Pick<Selection, 'ignore' | 'exclude'>, source: Pick<Matched, 'path'>): Ignored {
  const byContext = ignoreRule(selection.ignore);
  if (selection.exclude.length === 0) return byContext;
  return both(byContext, below(source.path, ignoreRule(selection.exclude)));
}

function isArchiveAt(source: Matched | undefined): boolean {
  if (source === undefined || (fstat(source.fd.fd).mode & S_IF.MT) !== S_IF.REG) return false;
  const fd = open(kernelName(`/proc/self/fd/${source.fd.fd}`), O.RDONLY);
  try {
    const length = read(fd, piece, HEAD_BYTES);
    return isArchive(piece.subarray(0, length), source.path);
  } finally {
    close(fd);
  }
}

function hashOf(fd: number, size: number, step: () => void): string {
  const hash = new Bun.CryptoHasher('sha256');
  for (let done = 0; done < size; ) {
    const count = read(fd, piece);
    if (count === 0) break;
    hash.update(piece.subarray(0, count));
    done += count;
    step();
  }
  return hash.digest('hex');
}
