/** Clients look into results: files, their status, directories. Paths are walked within the result alone. */
import * as methods from '#builder/buildkit/gateway-methods.ts';
import { invalidParameter, notFound } from '#errdefs/errors.ts';
import { type Handler, unary } from '#pkg/grpc/server.ts';
import { fstat, ownedFd, pread } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';
import { goModeOf } from './send-files.ts';
import type { Solves } from './solves.ts';

/** Less than what clients take as one message. */
const BYTES_MAX = 8 << 20;

export function resultFileHandlers(solves: Solves): readonly Handler[] {
  const opened = (ref: string, name: string, flags: number) => {
    const fd = tryOpenInRoot(solves.filesOf(ref), name === '' ? '.' : name, flags);
    if (fd === undefined) throw notFound(`open ${name}: no such file or directory`);
    return ownedFd(fd);
  };
  return [
    unary(methods.readFile, async ({ ref, filePath, range }) => {
      using file = opened(ref, filePath, O.RDONLY | O.NONBLOCK);
      const { mode, size } = fstat(file.fd);
      if ((mode & S_IF.MT) !== S_IF.REG) throw invalidParameter(`read ${filePath}: is not a file`);
      const offset = Math.max(0, range?.offset ?? 0);
      const asked = range === undefined || range.length <= 0 ? size : range.length;
      const length = Math.max(0, Math.min(asked, size - offset));
      if (length > BYTES_MAX) throw invalidParameter(`${filePath} is larger than ${BYTES_MAX} bytes`);
      const data = Buffer.alloc(length);
      let at = 0;
      while (at < length) {
        const count = pread(file.fd, data.subarray(at), offset + at);
        if (count === 0) break;
        at += count;
      }
      return { data: data.subarray(0, at) };
    }),
    unary(methods.statFile, async ({ ref, path }) => {
      using file = opened(ref, path, O.PATH);
      const status = fstat(file.fd);
      const isFile = (status.mode & S_IF.MT) === S_IF.REG;
      return {
        stat: {
          path: path.split('/').findLast((name) => name !== '') ?? '',
          mode: goModeOf(status) ?? 0,
          uid: status.uid,
          gid: status.gid,
          size: isFile ? status.size : 0,
          modTime: status.mtimeNs,
          linkname: '',
          devmajor: 0,
          devminor: 0,
          xattrs: new Map(),
        },
      };
    }),
  ];
}
