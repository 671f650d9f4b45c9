/** The words of seccomp profiles and their numbers: seccomp.h, linux/seccomp.h, linux/audit.h. */

/** Actions; those that carry a number (errno, trace message) have it in the low 16 bits. */
export const actions: Readonly<Record<string, { readonly value: number; readonly carries?: true }>> = {
  SCMP_ACT_KILL: { value: 0 },
  SCMP_ACT_KILL_THREAD: { value: 0 },
  SCMP_ACT_KILL_PROCESS: { value: 0x8000_0000 },
  SCMP_ACT_TRAP: { value: 0x0003_0000 },
  SCMP_ACT_ERRNO: { value: 0x0005_0000, carries: true },
  SCMP_ACT_TRACE: { value: 0x7ff0_0000, carries: true },
  SCMP_ACT_LOG: { value: 0x7ffc_0000 },
  SCMP_ACT_ALLOW: { value: 0x7fff_0000 },
};

/** libseccomp's tokens, which are AUDIT_ARCH_* but for x32. */
export const architectures: Readonly<Record<string, number>> = {
  SCMP_ARCH_X86: 0x4000_0003,
  SCMP_ARCH_X86_64: 0xc000_003e,
  SCMP_ARCH_X32: 0x4000_003e,
  SCMP_ARCH_ARM: 0x4000_0028,
  SCMP_ARCH_AARCH64: 0xc000_00b7,
  SCMP_ARCH_MIPS: 0x0000_0008,
  SCMP_ARCH_MIPS64: 0x8000_0008,
  SCMP_ARCH_MIPS64N32: 0xa000_0008,
  SCMP_ARCH_MIPSEL: 0x4000_0008,
  SCMP_ARCH_MIPSEL64: 0xc000_0008,
  SCMP_ARCH_MIPSEL64N32: 0xe000_0008,
  SCMP_ARCH_PPC: 0x0000_0014,
  SCMP_ARCH_PPC64: 0x8000_0015,
  SCMP_ARCH_PPC64LE: 0xc000_0015,
  SCMP_ARCH_S390: 0x0000_0016,
  SCMP_ARCH_S390X: 0x8000_0016,
  SCMP_ARCH_PARISC: 0x0000_000f,
  SCMP_ARCH_PARISC64: 0x8000_000f,
  SCMP_ARCH_RISCV64: 0xc000_00f3,
};

/** scmp_compare */
export const operators: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

/** Flags of seccomp(2), given back to whoever loads the filter. */
export const filterFlags: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};

/** scmp_filter_attr */
export const ATTRIBUTE = { CTL_NNP: 3, CTL_OPTIMIZE: 8 } as const;

export const X32 = architectures['SCMP_ARCH_X32'];
export const X86_64 = 0xc000_003e;
/** Set in the numbers of x32, which shares AUDIT_ARCH_X86_64. */
export const X32_BIT = 0x4000_0000;

/** Since 424 a new call has one number on every architecture that we know. */
export const commonNumbers: Readonly<Record<string, number>> = {
  quotactl_fd: 443,
  landlock_create_ruleset: 444,
  landlock_add_rule: 445,
  landlock_restrict_self: 446,
  memfd_secret: 447,
  process_mrelease: 448,
  futex_waitv: 449,
  set_mempolicy_home_node: 450,
  cachestat: 451,
  fchmodat2: 452,
  map_shadow_stack: 453,
  futex_wake: 454,
  futex_wait: 455,
  futex_requeue: 456,
  statmount: 457,
  listmount: 458,
  lsm_get_self_attr: 459,
  lsm_set_self_attr: 460,
  lsm_list_modules: 461,
  mseal: 462,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  open_tree_attr: 467,
  file_getattr: 468,
  file_setattr: 469,
};

/** Newer calls of one architecture. */
export const ownNumbers: Readonly<Record<number, Readonly<Record<string, number>>>> = {
  [X86_64]: { uretprobe: 335, uprobe: 336 },
};

/** Number of a call that this libseccomp does not know. */
export function numberOfNewer(name: string, arch: number): number | undefined {
  const number = commonNumbers[name] ?? ownNumbers[arch]?.[name];
  return number !== undefined && arch === X32 ? number + X32_BIT : number;
}
