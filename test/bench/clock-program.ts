/**
 * A program for a benchmark's containers: it reads CLOCK_MONOTONIC first of all, writes the 16 bytes of its timespec to
 * /t and ends. An executable of two headers and 78 bytes of code (x86-64), so that what is measured is the way to
 * it and not its own start.
 */
const LOAD_AT = 0x400000;
const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const CODE_AT = EHDR_BYTES + PHDR_BYTES;
export const CLOCK_FILE = '/t';

const CODE = [
  [0x48, 0x83, 0xec, 0x10], // sub rsp, 16
  [0xb8, 228, 0, 0, 0], // mov eax, clock_gettime
  [0xbf, 1, 0, 0, 0], // mov edi, CLOCK_MONOTONIC
  [0x48, 0x89, 0xe6], // mov rsi, rsp
  [0x0f, 0x05], // syscall
  [0xb8, 2, 0, 0, 0], // mov eax, open
  [0x48, 0x8d, 0x3d, 0, 0, 0, 0], // lea rdi, [rip + path]
  [0xbe, 0x41, 0x02, 0, 0], // mov esi, O_WRONLY | O_CREAT | O_TRUNC
  [0xba, 0xa4, 0x01, 0, 0], // mov edx, 0644
  [0x0f, 0x05],
  [0x89, 0xc7], // mov edi, eax
  [0xb8, 1, 0, 0, 0], // mov eax, write
  [0x48, 0x89, 0xe6], // mov rsi, rsp
  [0xba, 16, 0, 0, 0], // mov edx, 16
  [0x0f, 0x05],
  [0xb8, 231, 0, 0, 0], // mov eax, exit_group
  [0x31, 0xff], // xor edi, edi
  [0x0f, 0x05],
];
/** Of the `lea`, whose operand is the distance from its end to the path behind the code. */
const LEA = 6;

export function clockProgram(): Uint8Array {
  const code = Buffer.from(CODE.flat());
  const leaEnd = CODE.slice(0, LEA + 1).flat().length;
  code.writeInt32LE(code.length - leaEnd, leaEnd - 4);
  const body = Buffer.concat([code, Buffer.from(`${CLOCK_FILE}\0`)]);
  const head = Buffer.alloc(CODE_AT);
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  head.writeUInt16LE(2, 16); // executable
  head.writeUInt16LE(62, 18); // x86-64
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(BigInt(LOAD_AT + CODE_AT), 24);
  head.writeBigUInt64LE(BigInt(EHDR_BYTES), 32);
  head.writeUInt16LE(EHDR_BYTES, 52);
  head.writeUInt16LE(PHDR_BYTES, 54);
  head.writeUInt16LE(1, 56);
  const program = head.subarray(EHDR_BYTES);
  program.writeUInt32LE(1, 0); // PT_LOAD
  program.writeUInt32LE(5, 4); // readable, executable
  program.writeBigUInt64LE(BigInt(LOAD_AT), 16);
  program.writeBigUInt64LE(BigInt(LOAD_AT), 24);
  program.writeBigUInt64LE(BigInt(CODE_AT + body.length), 32);
  program.writeBigUInt64LE(BigInt(CODE_AT + body.length), 40);
  program.writeBigUInt64LE(4096n, 48);
  return Buffer.concat([head, body]);
}
