/**
 * Secrets: named values that are kept encrypted and given to containers at their start. The key is a file that only root
 * reads, made with the first secret; without it the database tells nothing.
 *
 * Invariants: a plaintext is only ever in memory: in no record, log, event or answer. A value is bound to its id (as the
 * cipher's additional data), so that values cannot be exchanged behind our back. A missing key is never replaced while
 * there are secrets.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { conflict, dataLoss, invalidParameter, notFound } from '#errdefs/errors.ts';
import type { GraphDb } from '#graphdb/graphdb.ts';
import { writeFileAtomic } from '#pkg/atomicfile/atomicfile.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';

const KIND = 'secret';
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const SECRET_BYTES_MAX = 512_000;
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,252}$/;

export interface SecretRecord {
  /** 25 hex digits, as podman's. */
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** base64 of nonce, tag and ciphertext. */
  readonly sealed: string;
}

export class Secrets {
  readonly #keyFile: string;
  readonly #db: GraphDb;

  constructor(options: { readonly dataRoot: string; readonly db: GraphDb }) {
    this.#keyFile = path.join(options.dataRoot, 'secrets', 'key');
    this.#db = options.db;
  }

  /** Errors: invalid-parameter; conflict when the name is taken, unless it is to be replaced. */
  create(request: {
    readonly name: string;
    readonly value: Uint8Array;
    readonly labels: Readonly<Record<string, string>>;
    readonly replace: boolean;
  }): SecretRecord {
    const { name, value, labels } = request;
    if (!namePattern.test(name)) {
      throw invalidParameter(
        `secret name "${name}" can not include '=', '/', ',', or the NULL character, and must match [a-zA-Z0-9][a-zA-Z0-9_.-]*`,
      );
    }
    if (value.length === 0 || value.length > SECRET_BYTES_MAX) {
      throw invalidParameter(`secret data must be larger than 0 and less than ${SECRET_BYTES_MAX} bytes`);
    }
    const existing = this.find(name);
    if (existing !== undefined && !request.replace) throw conflict(`secret name in use: ${name}`);
    const now = rfc3339(nowNs());
    const id = randomBytes(13).toString('hex').slice(0, 25);
    const record: SecretRecord = {
      id,
      name,
      createdAt: now,
      updatedAt: now,
      labels,
      sealed: this.#seal(id, value),
    };
    this.#db.transaction(() => this.#db.put(KIND, name, record), { durable: true });
    return record;
  }

  find(name: string): SecretRecord | undefined {
    const document = this.#db.get(KIND, name);
    // as: only `create` writes documents of this kind.
    return document === undefined ? undefined : (document as SecretRecord);
  }

  /** By name, id or the beginning of an id that only one has. Errors: not-found; invalid-parameter. */
  resolve(reference: string): SecretRecord {
    const named = this.find(reference);
    if (named !== undefined) return named;
    const found = reference === '' ? [] : this.list().filter((secret) => secret.id.startsWith(reference));
    const [only] = found;
    if (only === undefined) throw notFound(`no secret with name or id "${reference}": no such secret`);
    if (found.length > 1) throw invalidParameter(`more than one secret has an id that starts with "${reference}"`);
    return only;
  }

  list(): SecretRecord[] {
    // as: see find.
    return this.#db.list(KIND).map(({ document }) => document as SecretRecord);
  }

  remove(name: string): void {
    this.#db.delete(KIND, name);
  }

  /** Errors: not-found; data-loss when the key is not the one, or the value was changed. */
  reveal(name: string): Buffer {
    const secret = this.resolve(name);
    const sealed = Buffer.from(secret.sealed, 'base64');
    const decipher = createDecipheriv(CIPHER, this.#key(), sealed.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.from(secret.id));
    decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      throw dataLoss(`Cannot decrypt secret "${secret.name}": its key or its value was changed`, { cause });
    }
  }

  #seal(id: string, value: Uint8Array): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key(), nonce);
    cipher.setAAD(Buffer.from(id));
    const body = Buffer.concat([cipher.update(value), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64');
  }

  #key(): Buffer {
    if (!fs.existsSync(this.#keyFile)) this.#makeKey();
    const key = fs.readFileSync(this.#keyFile);
    if (key.length !== KEY_BYTES) throw dataLoss(`"${this.#keyFile}" is not the key of the secrets`);
    return key;
  }

  #makeKey(): void {
    if (this.list().length > 0) throw dataLoss(`"${this.#keyFile}", the key of the secrets, is missing`);
    fs.mkdirSync(path.dirname(this.#keyFile), { recursive: true, mode: 0o700 });
    writeFileAtomic(this.#keyFile, randomBytes(KEY_BYTES), { mode: 0o600, durable: true });
  }
}
