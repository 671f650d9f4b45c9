/**
 * The smallest static executable that exits with 0: header, one program header and three instructions. It is what
 * /proc/PID/exe of a container's first process names until its execve.
 */
const LOAD_ADDRESS = 0x400000n;
const HEADERS_BYTES = 64 + 56;
const EM_X86_64 = 62;
const EM_AARCH64 = 183;

export function exitingElf(): Uint8Array {
  const arm = process.arch === 'arm64';
  // x86-64: xor edi,edi; mov eax,231 (exit_group); syscall. arm64: mov x0,0; mov x8,94; svc 0
  const code = arm
    ? [0x00, 0x00, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]
    : [0x31, 0xff, 0xb8, 0xe7, 0x00, 0x00, 0x00, 0x0f, 0x05];
  const bytes = new Uint8Array(HEADERS_BYTES + code.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, arm ? EM_AARCH64 : EM_X86_64, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, LOAD_ADDRESS + BigInt(HEADERS_BYTES), true); // entry
  view.setBigUint64(32, 64n, true); // program headers
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 1, true);
  view.setUint32(64, 1, true); // PT_LOAD
  view.setUint32(68, 5, true); // readable, executable
  view.setBigUint64(80, LOAD_ADDRESS, true);
  view.setBigUint64(88, LOAD_ADDRESS, true);
  view.setBigUint64(96, BigInt(bytes.length), true);
  view.setBigUint64(104, BigInt(bytes.length), true);
  view.setBigUint64(112, 4096n, true);
  bytes.set(code, HEADERS_BYTES);
  return bytes;
}
