/** gRPC's framing within a stream: one byte that says whether it is compressed, four of length, the message. */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

const HEAD_BYTES = 5;
/** As BuildKit's own limit. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

export function framed(message: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(HEAD_BYTES + message.length);
  out[0] = 0;
  out.writeUInt32BE(message.length, 1);
  out.set(message, HEAD_BYTES);
  return out;
}

/** The messages of a body. */
export async function* messagesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let size = 0;
  let wanted = HEAD_BYTES;
  let inHead = true;
  for await (const chunk of body) {
    parts.push(chunk);
    size += chunk.length;
    while (size >= wanted) {
      const whole = parts.length === 1 ? (parts[0] ?? chunk) : Buffer.concat(parts);
      const taken = whole.subarray(0, wanted);
      parts = [whole.subarray(wanted)];
      size -= wanted;
      if (inHead) wanted = lengthOf(taken);
      else {
        yield taken;
        wanted = HEAD_BYTES;
      }
      inHead = !inHead;
    }
  }
  if (size > 0 || !inHead) throw invalidParameter('a gRPC message that ends too early');
}

function lengthOf(head: Uint8Array): number {
  if (head[0] !== 0) throw notImplemented('compressed gRPC messages are not supported');
  const length = Buffer.from(head).readUInt32BE(1);
  if (length > MESSAGE_BYTES_MAX) throw invalidParameter(`a gRPC message of ${length} bytes`);
  return length;
}
