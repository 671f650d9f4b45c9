/**
 * Results of a build to the client of its session: a directory (fsutil's DiffCopy, the client asks for each content) or
 * the bytes of one file.
 */
import { goMode, packetTypes, sendBytes, sendDirectory, packet, type stat } from '#builder/buildkit/session-methods.ts';
import type { Session } from '#builder/buildkit/session.ts';
import { walkBelow, linkTarget, type Visited } from '#builder/files/walk.ts';
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { textOf } from '#pkg/archive/entry.ts';
import type { Metadata } from '#pkg/grpc/client.ts';
import { encode, type MessageOf } from '#pkg/protobuf/protobuf.ts';
import { type FileStatus, ownedFd, pread } from '#sys/files.ts';
import { O, S_IF } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';

type Stat = MessageOf<typeof stat>;

const CHUNK_BYTES = 32 * 1024;

export interface SentTree {
  readonly root: number;
  /** A directory that they go into; '' for none. */
  readonly below: string;
  /** Which of the client's outputs it is. */
  readonly id: string;
}

const metadataOf = (id: string): Metadata => [['buildkit-attachable-exporter-id', id]];

/** All below `root`; bytes of what was sent. Errors: unavailable; what the client says. */
export async function sendTree(session: Session, { root, below, id }: SentTree, signal: AbortSignal): Promise<number> {
  const stats = statsOf(root, below);
  using call = await session.call(sendDirectory, { metadata: metadataOf(id), signal });
  let bytes = 0;
  const send = async (message: Partial<MessageOf<typeof packet>>): Promise<void> => {
    bytes += encode(packet, { ...message, data: nothing }).length + (message.data?.length ?? 0);
    await call.send(message);
  };
  const listing = (async () => {
    for (const one of stats) await send({ type: packetTypes.stat, stat: one });
    await send({ type: packetTypes.stat });
  })();
  // A failure of it ends the answers too, with the better reason.
  listing.catch(() => undefined);
  for await (const message of call.answers()) {
    if (message.type === packetTypes.error) {
      throw invalidParameter(`the client cannot take the files: ${Buffer.from(message.data).toString()}`);
    }
    if (message.type === packetTypes.request) await sendContent(send, { root, below }, stats, message.id);
    if (message.type !== packetTypes.end) continue;
    await listing;
    await call.send({ type: packetTypes.end });
    await call.end();
  }
  return bytes;
}

async function sendContent(
  send: (message: Partial<MessageOf<typeof packet>>) => Promise<void>,
  { root, below }: Pick<SentTree, 'root' | 'below'>,
  stats: readonly Stat[],
  id: number,
): Promise<void> {
  const one = stats[id];
  if (one === undefined || (one.mode & goMode.directory) !== 0)
    throw dataLoss(`the client asks for file ${id}, which is none`);
  using file = ownedFd(
    openInRoot(root, below === '' ? one.path : one.path.slice(below.length + 1), O.RDONLY | O.NOFOLLOW | O.NONBLOCK),
  );
  for (let at = 0; ; ) {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    const count = pread(file.fd, buffer, at);
    if (count === 0) break;
    await send({ type: packetTypes.data, id, data: buffer.subarray(0, count) });
    at += count;
  }
  await send({ type: packetTypes.data, id });
}

const nothing = new Uint8Array(0);

function statsOf(root: number, below: string): readonly Stat[] {
  const stats: Stat[] = [];
  if (below !== '') stats.push(directoryStat(below));
  const links = new Map<string, string>();
  const visit = (entry: Visited) => {
    const path = below === '' ? textOf(entry.path) : `${below}/${textOf(entry.path)}`;
    const { status } = entry;
    const kind = status.mode & S_IF.MT;
    let linkname = kind === S_IF.LNK ? textOf(linkTarget(entry.directory, entry.name)) : '';
    if (kind === S_IF.REG && status.nlink > 1) {
      const key = `${status.dev}:${status.ino}`;
      linkname = links.get(key) ?? '';
      if (linkname === '') links.set(key, path);
    }
    const mode = goModeOf(status);
    if (mode !== undefined) stats.push(statOf(path, status, mode, linkname));
  };
  walkBelow(
    root,
    '',
    { ignores: () => false, enters: () => true, leaves: () => true },
    { visit, step: () => undefined },
  );
  return stats;
}

function directoryStat(path: string): Stat {
  const none = { linkname: '', devmajor: 0, devminor: 0, xattrs: new Map<string, Uint8Array>() };
  return { path, mode: 0o755 + goMode.directory, uid: 0, gid: 0, size: 0, modTime: 0n, ...none };
}

function statOf(path: string, status: FileStatus, mode: number, linkname: string): Stat {
  return {
    path,
    mode,
    uid: status.uid,
    gid: status.gid,
    size: (status.mode & S_IF.MT) === S_IF.REG ? status.size : 0,
    modTime: status.mtimeNs,
    linkname,
    devmajor: 0,
    devminor: 0,
    xattrs: new Map(),
  };
}

/** Undefined for what a client cannot make: devices and sockets. */
export function goModeOf({ mode }: FileStatus): number | undefined {
  let out = mode & goMode.permissions;
  if ((mode & 0o4000) !== 0) out |= goMode.setuid;
  if ((mode & 0o2000) !== 0) out |= goMode.setgid;
  if ((mode & 0o1000) !== 0) out |= goMode.sticky;
  switch (mode & S_IF.MT) {
    case S_IF.REG:
      return out;
    case S_IF.DIR:
      // The highest bit: not by `|`, which would make it negative.
      return out + goMode.directory;
    case S_IF.LNK:
      return out | goMode.symlink;
    default:
      return undefined;
  }
}

/** Writes what `produce` gives into the client's file. */
export async function sendStream(
  session: Session,
  id: string,
  produce: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  using call = await session.call(sendBytes, { metadata: metadataOf(id), signal });
  await produce(async (bytes) => {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      await call.send({ data: bytes.subarray(at, at + CHUNK_BYTES) });
    }
  });
  await call.end();
  for await (const _ of call.answers());
}
