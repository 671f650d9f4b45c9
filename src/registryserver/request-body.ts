/** Bodies of requests: small ones as bytes, large ones as they come. */
import { RegistryError, type RegistryErrorCode } from './errors.ts';

/** Errors: 413 with the given code when it is longer. */
export async function readBody(request: Request, bytesMax: number, code: RegistryErrorCode): Promise<Buffer> {
  const tooLarge = () => new RegistryError(code, `the body is larger than ${bytesMax} bytes`, { status: 413 });
  if (Number(request.headers.get('content-length') ?? 0) > bytesMax) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of bodyOf(request)) {
    length += chunk.length;
    if (length > bytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

export async function* bodyOf(request: Request): AsyncGenerator<Uint8Array> {
  if (request.body === null) return;
  yield* request.body;
}
