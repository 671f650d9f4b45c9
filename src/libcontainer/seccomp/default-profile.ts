/**
 * The seccomp profile of a container that names none: data only. Everything is refused with EPERM but what stands here.
 * Calls that are newer than the highest number named answer ENOSYS (stub.ts), so that programs fall back.
 *
 * Sources: the unconditional names of Debian's containers-common profile, less what Docker refuses or ties to a
 * capability, plus newer calls that act on what a process has already. default-profile.test.ts prints each difference
 * with its reason and fails on one without.
 */
import type { SeccompProfile } from './profile.ts';

const names = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Allowed to every container. */
export const unconditional = names(`
  _llseek _newselect accept accept4 access adjtimex alarm bind brk capget capset chdir chmod chown chown32
  clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
  clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
  epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
  execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir
  fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr
  fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_time64 futex_waitv
  futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
  geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid getppid
  getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid getsockname
  getsockopt gettid gettimeofday getuid getuid32 getxattr inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl
  ioprio_get ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown
  lchown32 lgetxattr link linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise
  membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2
  mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
  mq_timedsend_time64 mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
  name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
  pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
  process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev pwritev2
  read readahead readdir readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
  remap_file_pages removexattr rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending
  rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
  rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
  sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64
  send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid
  setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid
  setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid
  setuid32 setxattr shmat shmctl shmdt shmget shutdown sigaction sigaltstack signal signalfd signalfd4
  sigpending sigprocmask sigreturn sigsuspend socketcall socketpair splice stat stat64 statfs statfs64 statx
  symlink symlinkat sync sync_file_range syncfs syscall sysinfo tee tgkill time timer_create timer_delete
  timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd timerfd_create
  timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit
  umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write
  writev
`);

/** Newer than the lists above: they reach nothing that an older allowed call does not reach. */
export const newer = names(`
  cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount mseal setxattrat
  getxattrat listxattrat removexattrat file_getattr file_setattr
`);

const ALLOW = 'SCMP_ACT_ALLOW';
const allow = (text: string) => ({ names: names(text), action: ALLOW });
const allowWith = (cap: string, text: string) => ({ ...allow(text), includes: { caps: [cap] } });
const allowOn = (arches: string, text: string) => ({ ...allow(text), includes: { arches: names(arches) } });

/** CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET */
const CLONE_NEW = 0x7e_02_00_00;
const ENOSYS = 38;
/** Linux, BSD-like, no randomisation and both, and "tell me". */
const PERSONALITIES = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_ALG = 38;
const AF_VSOCK = 40;

const argument = (index: number, op: string, value: number, valueTwo = 0) => ({ index, op, value, valueTwo });
const withArgument = (name: string, ...args: readonly ReturnType<typeof argument>[]) => ({ ...allow(name), args });

export const defaultProfile: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: 1,
  archMap: [
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
  ],
  syscalls: [
    { names: [...unconditional, ...newer], action: ALLOW },
    // AF_ALG wrote to the page cache that containers share (CVE-2026-31431); AF_VSOCK reaches the hypervisor.
    withArgument('socket', argument(0, 'SCMP_CMP_LT', AF_ALG)),
    withArgument('socket', argument(0, 'SCMP_CMP_EQ', AF_ALG + 1)),
    withArgument('socket', argument(0, 'SCMP_CMP_GT', AF_VSOCK)),
    ...PERSONALITIES.map((value) => withArgument('personality', argument(0, 'SCMP_CMP_EQ', value))),
    allowOn('arm arm64', 'arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2'),
    allowOn('amd64 x32', 'arch_prctl uprobe uretprobe'),
    allowOn('amd64 x32 x86', 'modify_ldt'),
    allowWith('CAP_DAC_READ_SEARCH', 'open_by_handle_at'),
    allowWith(
      'CAP_SYS_ADMIN',
      `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
       lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd
       setdomainname sethostname setns syslog umount umount2 unshare`,
    ),
    // Without CAP_SYS_ADMIN: threads and processes, but no new namespaces. clone3's flags lie behind a pointer that a
    // filter cannot read: ENOSYS sends libraries back to clone.
    {
      ...withArgument('clone', argument(0, 'SCMP_CMP_MASKED_EQ', CLONE_NEW, 0)),
      excludes: { caps: ['CAP_SYS_ADMIN'] },
    },
    {
      names: ['clone3'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: ENOSYS,
      excludes: { caps: ['CAP_SYS_ADMIN'] },
    },
    allowWith('CAP_SYS_BOOT', 'reboot'),
    allowWith('CAP_SYS_CHROOT', 'chroot'),
    allowWith('CAP_SYS_MODULE', 'delete_module finit_module init_module query_module'),
    allowWith('CAP_SYS_PACCT', 'acct'),
    allowWith('CAP_SYS_PTRACE', 'kcmp pidfd_getfd process_madvise'),
    allowWith('CAP_SYS_RAWIO', 'ioperm iopl'),
    allowWith('CAP_SYS_TIME', 'clock_settime clock_settime64 settimeofday stime'),
    allowWith('CAP_SYS_TTY_CONFIG', 'vhangup'),
    allowWith('CAP_SYS_NICE', 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node'),
    allowWith('CAP_SYSLOG', 'syslog'),
    allowWith('CAP_BPF', 'bpf'),
    allowWith('CAP_PERFMON', 'perf_event_open'),
  ],
};
