/**
 * The zygote: a copy of this process that has unmapped everything but one page of code, its own page and an arena, shares
 * our descriptor table (CLONE_FILES) and dies with this thread. It reads a list from a memfd into the arena, clones a
 * child that works through it, and answers with pid and pidfd; the child is ours (CLONE_PARENT). Nothing of it runs
 * JavaScript, and no child shares memory with us.
 *
 * Why so: design/runtime.md, "Why a zygote". Made on the main thread only.
 */
import { ok } from '#errdefs/assert.ts';
import { Arena } from '../arena.ts';
import { call, must } from '../call.ts';
import { close, fcntl, memfdCreate, pipe2, readlinkat, setNonBlocking, tryRead, writeAll } from '../files.ts';
import { PAGE, zygotePages } from '../machine.ts';
import { AT, CLONE, F, MFD, NR, PR, SIG, SOCKET, W } from '../numbers.ts';
import { killByPidfd, pidfdOpen, waitid } from '../processes.ts';
import { recv, send, socketpair } from '../sockets.ts';
import { errnoNumber, isErrno, SysError } from '../errno.ts';
import { STEP_BYTES } from '../program.ts';
import { exitingElf } from './exiting-elf.ts';

export const ARENA_BYTES = 4 << 20;
const ANSWER_BYTES = 24;
const EAGAIN = errnoNumber('EAGAIN');
const POLLIN = 1;
const SIGNALS = 64;
const SIG_SETMASK = 2;
const ADDRESS_TOP = 0x7ffffffff000;
const LOWEST_ADDRESS = 0x10000;
const MADV_DONTFORK = 10;

export interface ZygoteAnswer {
  /** The memfd's number. */
  readonly request: number;
  /** Or -errno of clone3 (EMSGSIZE: the list was not as long as said). */
  readonly pid: number;
  readonly pidfd: number;
}

export class Zygote implements Disposable {
  readonly pid: number;
  /** Address of the arena in every child. */
  readonly base: number;
  /** Readable when answers wait. The zygote's end shows on `pidfd` only. */
  readonly answers: number;
  /** Readable when the zygote has ended. */
  readonly pidfd: number;
  readonly #requests: number;
  /** The zygote's ends and executable: the table is shared, so they are open here as well; nobody closes them when it dies. */
  readonly #itsEnds: readonly number[];
  readonly #answer = new Uint8Array(ANSWER_BYTES);
  readonly #view = new DataView(this.#answer.buffer);

  #ownExecutable: boolean | undefined;

  /** `eager`: it serves when the constructor returns. Otherwise the first request waits for it. */
  constructor({ eager = true }: { readonly eager?: boolean } = {}) {
    const [requests, theirs] = socketpair(SOCKET.SEQPACKET);
    const { read: answers, write: answering } = pipe2();
    const made = makeZygote(theirs, answering);
    this.#requests = requests;
    this.#itsEnds = [theirs, answering, made.elf];
    this.answers = answers;
    this.pid = made.pid;
    this.base = made.base;
    this.pidfd = pidfdOpen(made.pid);
    setNonBlocking(answers);
    if (eager) this.#ownExecutable = this.#look();
  }

  /**
   * False where the kernel refused to give the zygote an executable of its own (runtime.md 9). Preconditions, unless it
   * was made eagerly: no request waits for its answer.
   */
  get hasOwnExecutable(): boolean {
    this.#ownExecutable ??= this.#look();
    return this.#ownExecutable;
  }

  #look(): boolean {
    // A list that is too long for any arena: its refusal tells that the first steps are done.
    this.request(0, ARENA_BYTES + 1);
    this.waitAnswer();
    return readlinkat(AT.FDCWD, `/proc/${this.pid}/exe`).startsWith('/memfd:');
  }

  /**
   * Asks for one child. The memfd must hold exactly `length` bytes and stay open until the answer. Errors: EAGAIN when
   * hundreds wait already.
   */
  request(memfd: number, length: number): void {
    const bytes = new Uint8Array(BigInt64Array.of(BigInt(memfd), BigInt(length)).buffer);
    if (send(this.#requests, bytes, SOCKET.MSG_DONTWAIT) === undefined) throw new SysError('send', EAGAIN);
  }

  /** The next answer, undefined when none waits. */
  answer(): ZygoteAnswer | undefined {
    const length = tryRead(this.answers, this.#answer);
    if (length === undefined || length === 0) return undefined;
    ok(length === ANSWER_BYTES);
    return {
      request: Number(this.#view.getBigInt64(0, true)),
      pid: Number(this.#view.getBigInt64(8, true)),
      pidfd: this.#view.getInt32(16, true),
    };
  }

  /** Takes back the requests (numbers of memfds) that a dead zygote never read: no child was made for them. */
  takeUnread(): number[] {
    const [itsRequests = -1] = this.#itsEnds;
    const unread: number[] = [];
    const request = new BigInt64Array(2);
    const bytes = new Uint8Array(request.buffer);
    while ((recv(itsRequests, bytes, SOCKET.MSG_DONTWAIT) ?? 0) > 0) unread.push(Number(request[0]));
    return unread;
  }

  /** The next answer, waited for on this thread. */
  waitAnswer(): ZygoteAnswer {
    for (;;) {
      const answer = this.answer();
      if (answer !== undefined) return answer;
      const pollfds = new Uint8Array(16);
      const view = new DataView(pollfds.buffer);
      for (const [i, fd] of [this.answers, this.pidfd].entries()) {
        view.setInt32(8 * i, fd, true);
        view.setInt16(8 * i + 4, POLLIN, true);
      }
      must('ppoll', NR.ppoll, pollfds, 2, 0, 0, 8);
      if (view.getInt16(6, true) === 0) throw new Error('the zygote died');
    }
  }

  /** Ends the zygote without waiting for it. */
  end(): void {
    killByPidfd(this.pidfd);
  }

  /** Ends and reaps the zygote. Its children go on. */
  [Symbol.dispose](): void {
    killByPidfd(this.pidfd);
    waitid(W.P_PIDFD, this.pidfd, 0);
    for (const fd of [this.pidfd, this.#requests, this.answers, ...this.#itsEnds]) close(fd);
  }
}

interface Made {
  readonly pid: number;
  readonly base: number;
  readonly elf: number;
}

function makeZygote(requests: number, answering: number): Made {
  const { code, end, make } = zygotePages(PAGE + ARENA_BYTES);
  const own = new Arena(PAGE, code + PAGE);
  const arenaAt = code + 2 * PAGE;
  // Its first steps lie in the arena, where nothing else is before the first request.
  const arena = new Arena(ARENA_BYTES, arenaAt);
  const block = own.alloc(96);
  const middle = own.alloc(88);
  const copy = own.alloc(88);
  const pid = own.alloc(8);
  own.u64(middle, CLONE.VM | CLONE.VFORK | CLONE.FILES);
  own.u64(middle + 32, SIG.CHLD);
  own.u64(copy, CLONE.FILES | CLONE.PARENT | CLONE.PARENT_SETTID);
  own.u64(copy + 24, own.base + pid);
  const elf = sealedElf();
  const steps = firstSteps(arena, { code, end, elf });
  const values = [own.base + middle, own.base + copy, steps, requests, arenaAt, ARENA_BYTES, answering];
  for (const [i, value] of values.entries()) own.u64(block + 8 * i, value);

  // All signals blocked: the middle child runs on this stack, and the zygote keeps the mask.
  const before = new Uint8Array(8);
  const all = new Uint8Array(8).fill(0xff);
  must('rt_sigprocmask', NR.rt_sigprocmask, SIG_SETMASK, all, before, 8);
  let middlePid: number;
  try {
    keepFromCopies(code, end);
    middlePid = make(own.base + block);
  } finally {
    must('rt_sigprocmask', NR.rt_sigprocmask, SIG_SETMASK, before, 0, 8);
  }
  ok(middlePid > 0, `clone3 of the zygote: ${middlePid}`);
  waitid(W.P_PID, middlePid, 0);
  must('madvise', NR.madvise, arenaAt, ARENA_BYTES, 4);
  return { pid: own.view.getInt32(pid, true), base: arenaAt, elf };
}

/**
 * Nothing but the zygote's own pages is copied: it would unmap the rest at once, and we would pay a fault for each page
 * that we write afterwards (600 in `berth oci run`). Holes in the range are told by ENOMEM and do not matter. It stays so:
 * programs are spawned without a copy of our memory, and nothing else here forks.
 */
function keepFromCopies(code: number, end: number): void {
  call(NR.madvise, LOWEST_ADDRESS, code - LOWEST_ADDRESS, MADV_DONTFORK);
  call(NR.madvise, end, ADDRESS_TOP - end, MADV_DONTFORK);
}

/** What the zygote does before it serves: die with us, forget our memory, our handlers and our executable. */
function firstSteps(arena: Arena, at: { code: number; end: number; elf: number | undefined }): number {
  const steps: (readonly number[])[] = [
    [NR.prctl, PR.SET_PDEATHSIG, SIG.KILL],
    [NR.prctl, PR.SET_DUMPABLE, 0],
    [NR.munmap, LOWEST_ADDRESS, at.code - LOWEST_ADDRESS],
    [NR.munmap, at.end, ADDRESS_TOP - at.end],
  ];
  const defaultAction = arena.base + arena.alloc(32);
  for (let signal = 1; signal <= SIGNALS; signal++) steps.push([NR.rt_sigaction, signal, defaultAction, 0, 8]);
  if (at.elf !== undefined) {
    const map = arena.alloc(104);
    // struct prctl_mm_map: eleven addresses (start < end where the kernel compares), auxv, auxv_size, exe_fd.
    const starts = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((i) => at.code + 8 * i);
    for (const [i, address] of starts.entries()) arena.u64(map + 8 * i, address);
    arena.view.setUint32(map + 100, at.elf, true);
    steps.push([NR.prctl, PR.SET_MM, PR.SET_MM_MAP, arena.base + map, 104, 0]);
  }
  steps.push([NR.prctl, PR.SET_NAME, arena.str('berth-zygote')], [-1]);
  const table = arena.alloc(STEP_BYTES * steps.length);
  for (const [i, step] of steps.entries()) {
    for (const [k, value] of step.entries()) arena.u64(table + STEP_BYTES * i + 8 * k, value);
  }
  return arena.base + table;
}

/** A sealed executable that only exits: /proc/PID/exe of every child before its execve (CVE-2019-5736). */
function sealedElf(): number {
  let fd: number;
  try {
    fd = memfdCreate('berth-zygote', MFD.CLOEXEC | MFD.ALLOW_SEALING | MFD.EXEC);
  } catch (error) {
    // Before 6.3 there is no MFD_EXEC and every memfd is executable.
    if (!isErrno(error, 'EINVAL')) throw error;
    fd = memfdCreate('berth-zygote', MFD.CLOEXEC | MFD.ALLOW_SEALING);
  }
  writeAll(fd, exitingElf());
  fcntl(fd, F.ADD_SEALS, F.SEAL_SEAL | F.SEAL_SHRINK | F.SEAL_GROW | F.SEAL_WRITE);
  return fd;
}

/** Puts `bytes` into a memfd, as a request wants it. */
export function listMemfd(bytes: Uint8Array): number {
  const fd = memfdCreate('list');
  try {
    writeAll(fd, bytes);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}
