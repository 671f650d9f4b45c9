/**
 * Device rules → an eBPF program of type CGROUP_DEVICE (cgroup v2). Pure: bytes only; v2-devices.ts loads them.
 *
 * The kernel calls it with type, access bits, major and minor of one access and takes 1 for "allowed". Rules are asked
 * from the last to the first, bit by bit: an allowing rule takes its bits off what is still asked for (0 left: allowed),
 * a denying rule that meets any of them denies. So `allow r` and `allow w` together permit a read-write open, as on v1.
 */
import type { DeviceRule } from '#libcontainer/spec.ts';
import { ALL_ACCESS, type DecodedRule, decodeDeviceRule, isEverything } from './device-rules.ts';

const OP = {
  loadWord: 0x61, // BPF_LDX | BPF_MEM | BPF_W
  moveRegister: 0xbf,
  moveImmediate: 0xb7,
  and: 0x57,
  shiftRight: 0x77,
  jumpIfNot: 0x55,
  jumpIf: 0x15,
  exit: 0x95,
} as const;

const CONTEXT = 1;
const TYPE = 2;
const ASKED = 3;
const MAJOR = 4;
const MINOR = 5;
const SCRATCH = 6;
const TYPE_NUMBER = { b: 1, c: 2 } as const;

interface Instruction {
  readonly op: number;
  readonly to: number;
  readonly from: number;
  /** Instructions skipped by a jump; undefined: to the next rule. */
  readonly offset: number | undefined;
  readonly immediate: number;
}

const instruction = (op: number, to: number, from: number, offset: number | undefined, immediate: number) => ({
  op,
  to,
  from,
  offset,
  immediate,
});

const verdict = (allowed: boolean): Instruction[] => [
  instruction(OP.moveImmediate, 0, 0, 0, allowed ? 1 : 0),
  instruction(OP.exit, 0, 0, 0, 0),
];

function ruleCode(rule: DecodedRule): Instruction[] {
  const code: Instruction[] = [];
  const unless = (register: number, value: number) => instruction(OP.jumpIfNot, register, 0, undefined, value);
  if (rule.type !== undefined) code.push(unless(TYPE, TYPE_NUMBER[rule.type]));
  if (rule.major !== undefined) code.push(unless(MAJOR, rule.major));
  if (rule.minor !== undefined) code.push(unless(MINOR, rule.minor));
  if (rule.access !== ALL_ACCESS) {
    if (rule.allow) {
      code.push(instruction(OP.and, ASKED, 0, 0, ALL_ACCESS & ~rule.access), unless(ASKED, 0));
    } else {
      code.push(
        instruction(OP.moveRegister, SCRATCH, ASKED, 0, 0),
        instruction(OP.and, SCRATCH, 0, 0, rule.access),
        instruction(OP.jumpIf, SCRATCH, 0, undefined, 0),
      );
    }
  }
  code.push(...verdict(rule.allow));
  return code.map((step, at) => (step.offset === undefined ? { ...step, offset: code.length - at - 1 } : step));
}

/** The program's instructions, 8 bytes each. */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const code: Instruction[] = [
    instruction(OP.loadWord, TYPE, CONTEXT, 0, 0),
    instruction(OP.moveRegister, ASKED, TYPE, 0, 0),
    instruction(OP.and, TYPE, 0, 0, 0xffff),
    instruction(OP.shiftRight, ASKED, 0, 0, 16),
    instruction(OP.loadWord, MAJOR, CONTEXT, 4, 0),
    instruction(OP.loadWord, MINOR, CONTEXT, 8, 0),
  ];
  let decided = false;
  for (const rule of rules.map(decodeDeviceRule).toReversed()) {
    code.push(...ruleCode(rule));
    // The verifier refuses code that cannot be reached: nothing may follow a rule for everything.
    decided = isEverything(rule);
    if (decided) break;
  }
  if (!decided) code.push(...verdict(false));
  const bytes = new Uint8Array(code.length * 8);
  const view = new DataView(bytes.buffer);
  code.forEach((step, i) => {
    view.setUint8(8 * i, step.op);
    view.setUint8(8 * i + 1, step.to | (step.from << 4));
    view.setInt16(8 * i + 2, step.offset ?? 0, true);
    view.setInt32(8 * i + 4, step.immediate, true);
  });
  return bytes;
}
