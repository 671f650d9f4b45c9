/**
 * Loads a device program and attaches it to a v2 group. A change replaces the program in one step (BPF_F_REPLACE), so
 * there is no moment without rules. Programs that others attached (systemd's, with ALLOW_MULTI) are left: all must allow.
 */
import { systemError } from '#errdefs/errors.ts';
import type { DeviceRule } from '#libcontainer/spec.ts';
import { Arena } from '#sys/arena.ts';
import { must } from '#sys/call.ts';
import { isErrno } from '#sys/errno.ts';
import { close, open } from '#sys/files.ts';
import { NR, O } from '#sys/numbers.ts';
import { deviceProgram } from './device-program.ts';

const BPF = {
  PROG_LOAD: 5,
  PROG_ATTACH: 8,
  PROG_GET_FD_BY_ID: 13,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  PROG_TYPE_CGROUP_DEVICE: 15,
  CGROUP_DEVICE: 6,
  F_ALLOW_MULTI: 2,
  F_REPLACE: 4,
} as const;

const NAME = 'berth_devices';
const ATTR_BYTES = 128;
const INFO_BYTES = 128;
const INFO_NAME = 64; // offset of `name` in struct bpf_prog_info
const PROGRAMS_MAX = 64;
const LOG_BYTES = 16_384;

const bpf = (command: number, arena: Arena, attr: number): number =>
  must('bpf', NR.bpf, command, arena.base + attr, ATTR_BYTES);

/** Loads the rules and puts them in the place of those that an earlier call attached. */
export function replaceDevices(directory: string, rules: readonly DeviceRule[]): void {
  const group = open(directory, O.RDONLY | O.DIRECTORY);
  try {
    const program = load(rules);
    try {
      attach(group, program);
    } finally {
      close(program);
    }
  } finally {
    close(group);
  }
}

function load(rules: readonly DeviceRule[]): number {
  const code = deviceProgram(rules);
  using arena = new Arena(code.length + LOG_BYTES + 4096);
  const attr = arena.alloc(ATTR_BYTES);
  const { view } = arena;
  const loading = (logBytes: number): number => {
    view.setUint32(attr, BPF.PROG_TYPE_CGROUP_DEVICE, true);
    view.setUint32(attr + 4, code.length / 8, true);
    arena.u64(attr + 8, arena.bytes(code));
    arena.u64(attr + 16, arena.str('Apache-2.0'));
    if (logBytes > 0) {
      view.setUint32(attr + 24, 1, true);
      view.setUint32(attr + 28, logBytes, true);
      arena.u64(attr + 32, arena.base + log);
    }
    arena.u8.set(new TextEncoder().encode(NAME), attr + 48);
    view.setUint32(attr + 68, BPF.CGROUP_DEVICE, true);
    return bpf(BPF.PROG_LOAD, arena, attr);
  };
  let log = 0;
  try {
    return loading(0);
  } catch (cause) {
    if (!isErrno(cause, 'EINVAL', 'EACCES')) throw systemError('Cannot load the device program', { cause });
    arena.reset();
    arena.alloc(ATTR_BYTES);
    log = arena.alloc(LOG_BYTES);
    try {
      return loading(LOG_BYTES);
    } catch {
      const text = new TextDecoder().decode(arena.u8.subarray(log, arena.u8.indexOf(0, log)));
      throw systemError(`Cannot load the device program: ${text.trim()}`, { cause });
    }
  }
}

function attach(group: number, program: number): void {
  using arena = new Arena(4096);
  const old = attachedProgram(group);
  try {
    const attr = arena.alloc(ATTR_BYTES);
    arena.view.setUint32(attr, group, true);
    arena.view.setUint32(attr + 4, program, true);
    arena.view.setUint32(attr + 8, BPF.CGROUP_DEVICE, true);
    arena.view.setUint32(attr + 12, BPF.F_ALLOW_MULTI | (old === undefined ? 0 : BPF.F_REPLACE), true);
    if (old !== undefined) arena.view.setUint32(attr + 16, old, true);
    bpf(BPF.PROG_ATTACH, arena, attr);
  } catch (cause) {
    throw systemError('Cannot attach the device program', { cause });
  } finally {
    if (old !== undefined) close(old);
  }
}

/** Descriptor of the device program in this very group that carries our name. */
function attachedProgram(group: number): number | undefined {
  using arena = new Arena(8192);
  const attr = arena.alloc(ATTR_BYTES);
  const ids = arena.alloc(4 * PROGRAMS_MAX);
  arena.view.setUint32(attr, group, true);
  arena.view.setUint32(attr + 4, BPF.CGROUP_DEVICE, true);
  arena.u64(attr + 16, arena.base + ids);
  arena.view.setUint32(attr + 24, PROGRAMS_MAX, true);
  bpf(BPF.PROG_QUERY, arena, attr);
  const found = arena.view.getUint32(attr + 24, true);
  for (let i = 0; i < found; i++) {
    const open = arena.alloc(ATTR_BYTES);
    arena.view.setUint32(open, arena.view.getUint32(ids + 4 * i, true), true);
    const fd = bpf(BPF.PROG_GET_FD_BY_ID, arena, open);
    if (nameOf(fd) === NAME) return fd;
    close(fd);
  }
  return undefined;
}

function nameOf(program: number): string {
  using arena = new Arena(4096);
  const attr = arena.alloc(ATTR_BYTES);
  const info = arena.alloc(INFO_BYTES);
  arena.view.setUint32(attr, program, true);
  arena.view.setUint32(attr + 4, INFO_BYTES, true);
  arena.u64(attr + 8, arena.base + info);
  bpf(BPF.OBJ_GET_INFO_BY_FD, arena, attr);
  const end = arena.u8.indexOf(0, info + INFO_NAME);
  return new TextDecoder().decode(arena.u8.subarray(info + INFO_NAME, Math.min(end, info + INFO_NAME + 16)));
}
