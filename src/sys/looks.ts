/**
 * What files look like, for walks over tens of thousands of them: one block of arguments and one buffer serve for all,
 * nothing is copied but what is kept. A walk of `statxAt` takes five times as long.
 */
import { Arena } from './arena.ts';
import { errnoNumber, SysError } from './errno.ts';
import { callBlock } from './machine.ts';
import { AT, NR } from './numbers.ts';

/** Little of a file's status, and all that changes with its content or attributes as one text. */
export interface FileLooks {
  readonly mode: number;
  readonly nlink: number;
  readonly mtimeSeconds: number;
  /** `LOOKS_BYTES` characters, comparable only with each other. Reading the file does not change it. */
  readonly looks: string;
}

const LOOKS_BYTES = 80;

const STATX_BASIC_AND_MOUNT = 0x7ff | 0x1000;
const STATX_BYTES = 256;
const NAME_BYTES_MAX = 4096;
const ENOENT = -errnoNumber('ENOENT');
const EINTR = -errnoNumber('EINTR');

const arena = new Arena(8192);
const block = arena.alloc(56);
const status = arena.alloc(STATX_BYTES);
const text = arena.alloc(NAME_BYTES_MAX + 1);
const { view } = arena;
const bytes = Buffer.from(arena.u8.buffer, arena.u8.byteOffset, arena.u8.byteLength);
for (const [index, value] of [
  NR.statx,
  0,
  arena.base + text,
  AT.SYMLINK_NOFOLLOW,
  STATX_BASIC_AND_MOUNT,
  arena.base + status,
].entries()) {
  arena.u64(block + 8 * index, value);
}

/** Of `name` (one character a byte) in an open directory; undefined when it is gone. Links are not followed. */
export function looksOf(dirfd: number, name: string): FileLooks | undefined {
  if (name.length > NAME_BYTES_MAX) throw new SysError('statx', errnoNumber('ENAMETOOLONG'), [dirfd, name]);
  arena.u64(block + 8, dirfd);
  bytes.write(name, text, 'latin1');
  arena.u8[text + name.length] = 0;
  let result = Number(callBlock(arena.base + block));
  while (result === EINTR) result = Number(callBlock(arena.base + block));
  if (result === ENOENT) return undefined;
  if (result < 0) throw new SysError('statx', -result, [dirfd, name]);
  const mode = view.getUint16(status + 28, true);
  const nlink = view.getUint32(status + 16, true);
  const mtimeSeconds = view.getUint32(status + 112, true) + view.getInt32(status + 116, true) * 0x1_0000_0000;
  // Links, owner, mode, inode, size; right behind them the times of change and modification, and the devices.
  arena.u8.copyWithin(status + 48, status + 96, status + 144);
  return { mode, nlink, mtimeSeconds, looks: bytes.toString('latin1', status + 16, status + 16 + LOOKS_BYTES) };
}
