/** What a client's session offers, as tables: files, output, credentials, secrets, the ssh agent. Numbers are BuildKit's. */
import type { Method } from '#pkg/grpc/client.ts';
import { bool, bytes, int, int64, map, nested, type Table, text } from '#pkg/protobuf/protobuf.ts';

/** fsutil's view of a file; `mode` is Go's os.FileMode. */
export const stat = {
  path: text(1),
  mode: int(2),
  uid: int(3),
  gid: int(4),
  size: int(5),
  /** Nanoseconds. */
  modTime: int64(6),
  linkname: text(7),
  devmajor: int(8),
  devminor: int(9),
  xattrs: map(10, bytes),
};

export const packet = { type: int(1), stat: nested(2, stat), id: int(3), data: bytes(4) };

export const packetTypes = { stat: 0, request: 1, data: 2, end: 3, error: 4 } as const;

/** Bits of Go's os.FileMode. */
export const goMode = {
  directory: 0x8000_0000,
  symlink: 0x0800_0000,
  device: 0x0400_0000,
  pipe: 0x0200_0000,
  socket: 0x0100_0000,
  setuid: 0x0080_0000,
  setgid: 0x0040_0000,
  character: 0x0020_0000,
  sticky: 0x0010_0000,
  irregular: 0x0008_0000,
  permissions: 0o777,
} as const;

const data = { data: bytes(1) };

export const method = <Q extends Table, A extends Table>(path: string, request: Q, answer: A): Method<Q, A> => ({
  path,
  request,
  answer,
});

/** The client sends a directory. */
export const receiveFiles = method('/moby.filesync.v1.FileSync/DiffCopy', packet, packet);
/** The client writes what it is sent: packets of files, or bytes of one file. */
export const sendDirectory = method('/moby.filesync.v1.FileSend/DiffCopy', packet, packet);
export const sendBytes = method('/moby.filesync.v1.FileSend/DiffCopy', data, data);
export const credentials = method(
  '/moby.filesync.v1.Auth/Credentials',
  { host: text(1) },
  { username: text(1), secret: text(2) },
);
export const getSecret = method('/moby.buildkit.secrets.v1.Secrets/GetSecret', { id: text(1) }, { data: bytes(1) });
export const checkAgent = method('/moby.sshforward.v1.SSH/CheckAgent', { id: text(1) }, { unused: bool(1) });
export const forwardAgent = method('/moby.sshforward.v1.SSH/ForwardAgent', data, data);
/** A tar that the client has at hand, by the path of its address. */
export const pullUpload = method('/moby.upload.v1.Upload/Pull', data, data);
