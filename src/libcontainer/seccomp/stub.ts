/**
 * Instructions that stand in front of the filter that libseccomp exports. Pure. Two things only it can say:
 *
 * - a call above the highest number that the profile names is unknown to whoever wrote it: ENOSYS, as on an older
 *   kernel, so that libraries fall back (EPERM would be taken for the call's own answer). As runc does.
 * - calls that this libseccomp has no name for are decided here by number.
 *
 * The usual call costs five instructions; then the exported filter begins.
 */

export interface StubArchitecture {
  /** AUDIT_ARCH_*; two entries may share one (x86-64 and x32), then the one with higher numbers is `above` of it. */
  readonly audit: number;
  /** Numbers of this entry begin here (0, or the x32 bit). */
  readonly base: number;
  /** Highest number that the profile names. */
  readonly highest: number;
  /** Number → action, for calls that libseccomp does not know. */
  readonly newer: ReadonlyMap<number, number>;
}

const BPF = { LOAD: 0x20, JUMP: 0x05, EQUAL: 0x15, GREATER: 0x25, AT_LEAST: 0x35, RETURN: 0x06 } as const;
const NUMBER_AT = 0;
const ARCH_AT = 4;
const ERRNO_ENOSYS = 0x0005_0000 | 38;

interface Instruction {
  readonly code: number;
  readonly whenTrue: number;
  readonly whenFalse: number;
  readonly k: number;
}

const instruction = (code: number, k: number, whenTrue = 0, whenFalse = 0): Instruction => ({
  code,
  whenTrue,
  whenFalse,
  k,
});
const JUMP_TO_FILTER = -1;
const toFilter = instruction(BPF.JUMP, JUMP_TO_FILTER);

/** One architecture's numbers; the number is loaded. Ends in a return or a jump to the filter. */
function section({ highest, newer }: StubArchitecture, unknownIsEnosys: boolean): Instruction[] {
  const numbers = [...newer.keys()].sort((a, b) => a - b);
  const first = Math.min(numbers[0] ?? Infinity, unknownIsEnosys ? highest + 1 : Infinity);
  if (first === Infinity) return [toFilter];
  const code = [instruction(BPF.AT_LEAST, first, 1, 0), toFilter];
  for (const number of numbers) {
    code.push(instruction(BPF.EQUAL, number, 0, 1), instruction(BPF.RETURN, newer.get(number) ?? 0));
  }
  if (unknownIsEnosys) {
    code.push(instruction(BPF.GREATER, highest, 0, 1), instruction(BPF.RETURN, ERRNO_ENOSYS));
  }
  code.push(toFilter);
  return code;
}

/** The stub's bytes, 8 each instruction. `unknownIsEnosys` is false for profiles that allow by default. */
export function stubOf(architectures: readonly StubArchitecture[], unknownIsEnosys: boolean): Uint8Array {
  const code: Instruction[] = [instruction(BPF.LOAD, ARCH_AT)];
  for (const audit of new Set(architectures.map((a) => a.audit))) {
    const sharing = architectures.filter((a) => a.audit === audit).sort((a, b) => b.base - a.base);
    const body: Instruction[] = [instruction(BPF.LOAD, NUMBER_AT)];
    for (const [i, architecture] of sharing.entries()) {
      const own = section(architecture, unknownIsEnosys);
      const last = i === sharing.length - 1;
      // Not in this range: on to the lower one. A jump of its own, since a condition reaches 255 instructions only.
      if (!last) body.push(instruction(BPF.AT_LEAST, architecture.base, 1, 0), instruction(BPF.JUMP, own.length));
      body.push(...own);
    }
    code.push(instruction(BPF.EQUAL, audit, 1, 0), instruction(BPF.JUMP, body.length), ...body);
  }
  const bytes = new Uint8Array(8 * code.length);
  const view = new DataView(bytes.buffer);
  code.forEach((step, i) => {
    const k = step.k === JUMP_TO_FILTER && step.code === BPF.JUMP ? code.length - i - 1 : step.k;
    view.setUint16(8 * i, step.code, true);
    view.setUint8(8 * i + 2, step.whenTrue);
    view.setUint8(8 * i + 3, step.whenFalse);
    view.setUint32(8 * i + 4, k, true);
  });
  return bytes;
}
