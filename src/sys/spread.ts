/**
 * Where trees of many files are made and deleted in turn. For minutes after a deletion ext4 does not use an inode again,
 * and it looks at each such one anew for every file that it makes near them: the second tree in the same place takes ten
 * times as long as the first. A directory marked as the top of hierarchies has its subdirectories spread over the disk.
 */
import { ioctl, open, ownedFd } from './files.ts';
import { IOCTL, O } from './numbers.ts';

const FS_TOPDIR_FL = 0x20000;

/** Subdirectories that are made in `directory` from now on do not share their neighbourhood. A hint: done where it is known. */
export function spreadDirectories(directory: string): void {
  using fd = ownedFd(open(directory, O.RDONLY | O.DIRECTORY));
  try {
    // A long by its name, 32 bits in fact.
    const flags = new Uint32Array(2);
    const bytes = new Uint8Array(flags.buffer);
    ioctl(fd.fd, IOCTL.FS_IOC_GETFLAGS, bytes);
    if (((flags[0] ?? 0) & FS_TOPDIR_FL) !== 0) return;
    flags[0] = (flags[0] ?? 0) | FS_TOPDIR_FL;
    ioctl(fd.fd, IOCTL.FS_IOC_SETFLAGS, bytes);
  } catch {
    // A hint: each file system that does not know it says so in its own way (ENOTTY, ENOTSUP, EINVAL …).
  }
}
