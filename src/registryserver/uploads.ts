/**
 * Blobs on their way here. A session is a file `<session>-<hash of the repository's name>`, appended to; its length is
 * the whole state, so that a session goes on after the server was killed. What is in memory (the running hash) only
 * saves reading the file again.
 *
 * Invariants: one request at a time writes to a session; what a broken connection has delivered stays, for the client
 * to resume at; a wrong digest or a full disk ends the session and frees its space.
 */
import { type Algorithm, algorithmOf } from '#content/digest.ts';
import { createHash, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { ContentStore } from '#content/content-store.ts';
import { failpoint } from '#pkg/failpoint/failpoint.ts';
import { isNoSpace, RegistryError } from './errors.ts';
import { uploadUnknown } from './names.ts';
import { PieceWriter } from './piece-writer.ts';

const SESSIONS_MAX = 10_000;
/** Running hashes that are kept between requests. */
const HASHES_MAX = 256;
const READ_BYTES = 1 << 20;

export interface UploadLimits {
  readonly blobBytesMax: number;
}

interface RunningHash {
  readonly hasher: Bun.CryptoHasher;
  readonly hashed: number;
}

export class Uploads {
  readonly #directory: string;
  readonly #content: ContentStore;
  readonly #limits: UploadLimits;
  readonly #hashes = new Map<string, RunningHash>();
  readonly #busy = new Set<string>();
  #count: number;

  constructor(content: ContentStore, limits: UploadLimits) {
    this.#content = content;
    this.#limits = limits;
    this.#directory = path.join(content.root, 'uploads');
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    this.#count = fs.readdirSync(this.#directory).length;
  }

  async begin(name: string): Promise<string> {
    if (this.#count >= SESSIONS_MAX) {
      throw new RegistryError('TOOMANYREQUESTS', `more than ${SESSIONS_MAX} uploads are in progress`);
    }
    const session = randomBytes(16).toString('hex');
    const flags = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;
    const handle = await fs.promises.open(this.#file(name, session), flags, 0o600);
    await handle.close();
    this.#count += 1;
    this.#remember(session, { hasher: new Bun.CryptoHasher('sha256'), hashed: 0 });
    return session;
  }

  /** Bytes that have arrived. Errors: BLOB_UPLOAD_UNKNOWN. */
  async size(name: string, session: string): Promise<number> {
    try {
      return (await fs.promises.stat(this.#file(name, session))).size;
    } catch (error) {
      throw isMissing(error) ? uploadUnknown() : error;
    }
  }

  /**
   * Adds a body; returns the new length. `from`: where the client believes to be. Errors: RANGE_INVALID with the real
   * length, SIZE_INVALID, BLOB_UPLOAD_UNKNOWN, BLOB_UPLOAD_INVALID when another request writes.
   */
  async append(
    name: string,
    session: string,
    body: AsyncIterable<Uint8Array>,
    range: { readonly from: number; readonly length: number } | undefined,
  ): Promise<number> {
    using _own = this.#own(session);
    const before = await this.size(name, session);
    if (range !== undefined && range.from !== before) throw this.rangeInvalid(name, session, before);
    const running = this.#hashes.get(session);
    const hasher = running?.hashed === before ? running.hasher : undefined;
    this.#hashes.delete(session);
    const handle = await fs.promises.open(this.#file(name, session), fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW);
    const writer = new PieceWriter(handle, before, hasher);
    try {
      try {
        for await (const bytes of body) {
          this.#checkSize(writer.end + bytes.length);
          await writer.write(bytes);
        }
      } finally {
        // Also of a body that broke off: the client resumes there.
        await writer.flush();
        failpoint('registry.chunk-written');
        if (hasher !== undefined) this.#remember(session, { hasher, hashed: writer.end });
      }
      if (range !== undefined && writer.end - before !== range.length) {
        throw new RegistryError('SIZE_INVALID', 'the length of the body is not that of its range', { status: 400 });
      }
      return writer.end;
    } catch (error) {
      const gone = isNoSpace(error) || (error instanceof RegistryError && error.code === 'SIZE_INVALID');
      if (gone) await this.#drop(name, session);
      throw error;
    } finally {
      await handle.close();
    }
  }

  /**
   * Keeps the blob under its digest, durably; `record` runs in the turn in which it is kept. Errors: DIGEST_INVALID,
   * after which the session is gone.
   */
  async finish(name: string, session: string, digest: string, record: () => void): Promise<void> {
    using _own = this.#own(session);
    const size = await this.size(name, session);
    const file = this.#file(name, session);
    const running = this.#hashes.get(session);
    this.#hashes.delete(session);
    const algorithm = algorithmOf(digest);
    const isHashed = algorithm === 'sha256' && running?.hashed === size;
    const actual = `${algorithm}:${isHashed ? running.hasher.digest('hex') : await hashOf(file, algorithm)}`;
    if (actual !== digest) {
      await this.#drop(name, session);
      throw new RegistryError('DIGEST_INVALID', 'provided digest did not match uploaded content', {
        detail: { digest, actual },
      });
    }
    await syncFile(file);
    failpoint('registry.blob-synced');
    keepSound(this.#content, file, digest, size);
    failpoint('registry.blob-kept');
    this.#count -= 1;
    record();
  }

  async cancel(name: string, session: string): Promise<void> {
    using _own = this.#own(session);
    await this.size(name, session);
    await this.#drop(name, session);
  }

  /** Removes sessions that nobody has written to since then; returns how many. */
  async sweep(sinceMs: number): Promise<number> {
    let removed = 0;
    for (const entry of await fs.promises.readdir(this.#directory)) {
      const session = entry.slice(0, 32);
      const file = path.join(this.#directory, entry);
      const known = await fs.promises.stat(file).catch(() => undefined);
      if (known === undefined || known.mtimeMs >= sinceMs || this.#busy.has(session)) continue;
      fs.rmSync(file, { force: true });
      this.#hashes.delete(session);
      this.#count -= 1;
      removed += 1;
    }
    return removed;
  }

  rangeInvalid(name: string, session: string, size: number): RegistryError {
    return new RegistryError('RANGE_INVALID', `the upload goes on at byte ${size}`, {
      headers: {
        location: `/v2/${name}/blobs/uploads/${session}`,
        range: rangeOf(size),
        'docker-upload-uuid': session,
      },
    });
  }

  #checkSize(size: number): void {
    const { blobBytesMax } = this.#limits;
    if (size > blobBytesMax) throw new RegistryError('SIZE_INVALID', `a blob may have ${blobBytesMax} bytes at most`);
  }

  #own(session: string): Disposable {
    if (this.#busy.has(session)) {
      throw new RegistryError('BLOB_UPLOAD_INVALID', 'another request writes to this upload', { status: 409 });
    }
    this.#busy.add(session);
    return { [Symbol.dispose]: () => void this.#busy.delete(session) };
  }

  async #drop(name: string, session: string): Promise<void> {
    this.#hashes.delete(session);
    await fs.promises.rm(this.#file(name, session), { force: true });
    this.#count -= 1;
  }

  #remember(session: string, running: RunningHash): void {
    this.#hashes.delete(session);
    this.#hashes.set(session, running);
    const [oldest] = this.#hashes.keys();
    if (this.#hashes.size > HASHES_MAX && oldest !== undefined) this.#hashes.delete(oldest);
  }

  /** The name is in it hashed: a session belongs to its repository also after a restart. */
  #file(name: string, session: string): string {
    const owner = createHash('sha256').update(name).digest('hex').slice(0, 32);
    return path.join(this.#directory, `${session}-${owner}`);
  }
}

/** As Docker's registry: `0-0` also when nothing has come yet. */
export const rangeOf = (size: number): string => `0-${Math.max(size - 1, 0)}`;

export const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ENOENT';

async function hashOf(file: string, algorithm: Algorithm): Promise<string> {
  const hasher = new Bun.CryptoHasher(algorithm);
  await using handle = await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, READ_BYTES, null);
    if (bytesRead === 0) return hasher.digest('hex');
    hasher.update(buffer.subarray(0, bytesRead));
  }
}

/** A blob that is here with another length was damaged from outside: the new one takes its place. */
export function keepSound(content: ContentStore, file: string, digest: string, size: number): void {
  if (content.has(digest) && fs.statSync(content.path(digest)).size !== size) content.remove(digest);
  content.keepNow([{ file, digest }]);
}

export async function syncFile(file: string): Promise<void> {
  await using handle = await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  await handle.sync();
}
