/** A msghdr in a program's arena: one byte, and descriptors of the child that travel with it (unix(7), SCM_RIGHTS). */
import { SOCKET } from './numbers.ts';
import type { Address, Program, Source } from './program.ts';

const HEADER_BYTES = 16;

/** The argument of sendmsg. */
export function descriptorMessage(program: Program, descriptors: readonly Source[]): Address {
  const length = HEADER_BYTES + 4 * descriptors.length;
  // Each descriptor is written as eight bytes, and the next one over the upper half: so four more at the end.
  const control = new Uint8Array(length + 4);
  const view = new DataView(control.buffer);
  view.setBigUint64(0, BigInt(length), true);
  view.setInt32(8, SOCKET.SOL_SOCKET, true);
  view.setInt32(12, SOCKET.SCM_RIGHTS, true);
  const numbers = Object.fromEntries(descriptors.map((source, i) => [HEADER_BYTES + 4 * i, source]));
  const iovec = new Uint8Array(16);
  iovec[8] = 1;
  const header = new Uint8Array(56);
  header[24] = 1;
  new DataView(header.buffer).setBigUint64(40, BigInt((length + 7) & ~7), true);
  return program.struct(header, {
    16: program.struct(iovec, { 0: program.alloc(1) }),
    32: program.struct(control, numbers),
  });
}
