import { afterEach, expect, test } from 'bun:test';
import { interpose } from './call.ts';
import { errnoNumber, type SysArgument } from './errno.ts';
import { IOCTL, NR } from './numbers.ts';
import {
  changeProjectQuota,
  clearProjectQuota,
  isUnusedProject,
  projectOf,
  projectQuotaProblem,
  projectUsage,
  setProjectQuota,
} from './project-quota.ts';

const EXT4 = 0xef53;
let hook: Disposable | undefined;
afterEach(() => hook?.[Symbol.dispose]());

/** A file system that remembers limits and ids; the structures are the kernel's (linux/quota.h, linux/fs.h). */
function fileSystem(options: { readonly magic?: number; readonly flags?: number; readonly errno?: string } = {}) {
  const limits = new Map<number, bigint>();
  const directories = new Map<SysArgument | undefined, { flags: number; project: number }>();
  hook = interpose((nr, args, proceed) => {
    const bytes = args.find((a): a is Uint8Array => a instanceof Uint8Array);
    if (bytes === undefined) return proceed();
    const view = new DataView(bytes.buffer);
    if (nr === NR.fstatfs) {
      view.setBigUint64(0, BigInt(options.magic ?? EXT4), true);
      return 0;
    }
    if (nr === NR.quotactl_fd) {
      const command = Number(args[1]);
      expect(command & 0xff).toBe(2);
      if (options.errno !== undefined) return -errnoNumber(options.errno);
      if (command >>> 8 === 0x5805) view.setUint16(2, options.flags ?? 0x30, true);
      const project = Number(args[2]);
      if (command >>> 8 === 0x800008) limits.set(project, view.getBigUint64(0, true));
      if (command >>> 8 === 0x800007) {
        if (!limits.has(project)) return -errnoNumber('ENOENT');
        view.setBigUint64(0, limits.get(project) ?? 0n, true);
        view.setBigUint64(16, 4096n, true);
      }
      return 0;
    }
    if (nr !== NR.ioctl) return proceed();
    const directory = directories.get(args[0]) ?? { flags: 0x40, project: 0 };
    if (args[1] === IOCTL.FS_IOC_FSGETXATTR) {
      view.setUint32(0, directory.flags, true);
      view.setUint32(12, directory.project, true);
    } else directories.set(args[0], { flags: view.getUint32(0, true), project: view.getUint32(12, true) });
    return 0;
  });
  return { limits, directories };
}

test('says what is missing', () => {
  fileSystem({ magic: 0x01021994 });
  expect(projectQuotaProblem(3)).toContain('only ext4 and xfs');
  hook?.[Symbol.dispose]();
  fileSystem({ errno: 'ENOSYS' });
  expect(projectQuotaProblem(3)).toBe('the ext4 is not mounted with "prjquota"');
  hook?.[Symbol.dispose]();
  // Counted, but not enforced.
  fileSystem({ magic: 0x58465342, flags: 0x10 });
  expect(projectQuotaProblem(3)).toBe('the xfs is not mounted with "pquota"');
  hook?.[Symbol.dispose]();
  fileSystem();
  expect(projectQuotaProblem(3)).toBeUndefined();
});

test('a directory gets the id and keeps its other flags; the limit is in kilobytes, rounded up', () => {
  const { limits, directories } = fileSystem();
  expect(isUnusedProject(3, 77)).toBe(true);
  setProjectQuota(3, 77, 1025);
  expect(limits.get(77)).toBe(2n);
  expect(directories.get(3)).toEqual({ flags: 0x240, project: 77 });
  expect(projectOf(3)).toBe(77);
  expect(projectUsage(3, 77)).toEqual({ usedBytes: 4096, limitBytes: 2048 });
  expect(isUnusedProject(3, 77)).toBe(false);
  changeProjectQuota(3, 77, 4096);
  expect(limits.get(77)).toBe(4n);
  clearProjectQuota(3, 77);
  expect(limits.get(77)).toBe(0n);
});
