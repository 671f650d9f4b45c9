/**
 * A store of blobs that a client serves in its session (containerd's content service): caches in its directories, and
 * OCI layouts that contexts name. Nothing of it is trusted: what is read is checked against its digest by who reads.
 */
import { createHash } from 'node:crypto';
import { dataLoss, kindOf, notFound } from '#errdefs/errors.ts';
import type { Metadata, Method } from '#pkg/grpc/client.ts';
import { bytes, int, type MessageOf, nested, type Table, text } from '#pkg/protobuf/protobuf.ts';
import { method } from './session-methods.ts';
import type { Session } from './session.ts';

const content = <Q extends Table, A extends Table>(name: string, request: Q, answer: A): Method<Q, A> =>
  method(`/containerd.services.content.v1.Content/${name}`, request, answer);

const info = content('Info', { digest: text(1) }, { info: nested(1, { digest: text(1), size: int(2) }) });
const read = content('Read', { digest: text(1), offset: int(2), size: int(3) }, { offset: int(1), data: bytes(2) });
const write = content(
  'Write',
  { action: int(1), ref: text(2), total: int(3), expected: text(4), offset: int(5), data: bytes(6) },
  { action: int(1), offset: int(4), total: int(5), digest: text(6) },
);
const actions = { state: 0, write: 1, commit: 2 } as const;

/** Less than what peers take as one message. */
const CHUNK_BYTES = 1 << 20;

export interface BlobName {
  readonly digest: string;
  readonly size: number;
}

export class SessionContent {
  readonly #session: Session;
  readonly #metadata: Metadata;

  /** `store`: as the client calls it: `local:DIRECTORY` of a cache, `oci:NAME` of a layout. */
  constructor(session: Session, store: string) {
    this.#session = session;
    this.#metadata = [['buildkit-attachable-store-id', store]];
  }

  /** Errors: not-found; those of the client. */
  async size(digest: string, signal: AbortSignal): Promise<number> {
    using call = await this.#session.call(info, { metadata: this.#metadata, signal });
    await call.send({ digest });
    await call.end();
    let found: number | undefined;
    for await (const answer of call.answers()) found = answer.info?.size;
    if (found === undefined) throw notFound(`the client has no blob ${digest}`);
    return found;
  }

  async has({ digest, size }: BlobName, signal: AbortSignal): Promise<boolean> {
    try {
      return (await this.size(digest, signal)) === size;
    } catch (error) {
      if (kindOf(error) === 'not-found') return false;
      throw error;
    }
  }

  /** Errors: not-found; data-loss when it is longer or shorter than it is to be. */
  async *read({ digest, size }: BlobName, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    using call = await this.#session.call(read, { metadata: this.#metadata, signal });
    await call.send({ digest, offset: 0, size: 0 });
    await call.end();
    let at = 0;
    for await (const { data } of call.answers()) {
      at += data.length;
      if (at > size) throw dataLoss(`blob ${digest} of the client is longer than ${size} bytes`);
      yield data;
    }
    if (at !== size) throw dataLoss(`blob ${digest} of the client has ${at} bytes instead of ${size}`);
  }

  /** A small blob, checked. Errors: not-found, data-loss. */
  async document(blob: BlobName, bytesMax: number, signal: AbortSignal): Promise<Buffer> {
    if (blob.size > bytesMax) throw dataLoss(`blob ${blob.digest} is longer than ${bytesMax} bytes`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.read(blob, signal)) chunks.push(chunk);
    const whole = Buffer.concat(chunks);
    const digest = `sha256:${createHash('sha256').update(whole).digest('hex')}`;
    if (digest !== blob.digest) throw dataLoss(`verification failed for digest ${blob.digest}`);
    return whole;
  }

  /** What is there already is not sent. Errors: those of the client. */
  async write(blob: BlobName, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    if (await this.has(blob, signal)) return;
    const common = { ref: `berth-${blob.digest}`, total: blob.size, expected: blob.digest };
    using call = await this.#session.call(write, { metadata: this.#metadata, signal });
    const answers = call.answers();
    const told = async (message: Partial<MessageOf<typeof write.request>>) => {
      await call.send({ ...common, ...message });
      const next = await answers.next();
      if (next.done === true) throw dataLoss(`the client ended before blob ${blob.digest} was written`);
      return next.value;
    };
    try {
      await told({ action: actions.state });
      let at = 0;
      for await (const chunk of chunks) {
        for (let from = 0; from < chunk.length; from += CHUNK_BYTES) {
          const data = chunk.subarray(from, from + CHUNK_BYTES);
          await told({ action: actions.write, offset: at, data });
          at += data.length;
        }
      }
      await told({ action: actions.commit, offset: at });
      await call.end();
    } catch (error) {
      // Somebody else has written the same meanwhile.
      if (kindOf(error) !== 'conflict' || !(await this.has(blob, signal))) throw error;
    }
  }
}
