/**
 * Runs a seccomp filter as the kernel would, for tests: what does this program answer to that call? Classic BPF over
 * struct seccomp_data, only the instructions that libseccomp and our stub make.
 */
import { systemError } from '#errdefs/errors.ts';

export interface SeccompData {
  readonly number: number;
  readonly arch: number;
  readonly args?: readonly bigint[];
}

/** The action (SECCOMP_RET_*, with its low 16 bits) and how many instructions it took. */
export function runFilter(program: Uint8Array, data: SeccompData): { readonly action: number; readonly steps: number } {
  const code = new DataView(program.buffer, program.byteOffset, program.length);
  const input = new DataView(new ArrayBuffer(64));
  input.setUint32(0, data.number, true);
  input.setUint32(4, data.arch, true);
  for (const [i, arg] of (data.args ?? []).entries()) input.setBigUint64(16 + 8 * i, arg, true);
  let accumulator = 0;
  for (let at = 0, steps = 1; at < program.length / 8; at++, steps++) {
    const op = code.getUint16(8 * at, true);
    const k = code.getUint32(8 * at + 4, true);
    const branch = (taken: boolean) => code.getUint8(8 * at + (taken ? 2 : 3));
    switch (op) {
      case 0x20:
        accumulator = input.getUint32(k, true);
        break;
      case 0x54:
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        at += branch(accumulator === k);
        break;
      case 0x25:
        at += branch(accumulator > k);
        break;
      case 0x35:
        at += branch(accumulator >= k);
        break;
      case 0x45:
        at += branch((accumulator & k) !== 0);
        break;
      case 0x06:
        return { action: k, steps };
      default:
        throw systemError(`unknown instruction 0x${op.toString(16)}`);
    }
  }
  throw systemError('the filter has no end');
}
