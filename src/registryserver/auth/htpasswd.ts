/**
 * Users of an htpasswd file with bcrypt hashes, as Docker's registry wants it. The file is read again when it changes.
 * A hash takes tens of milliseconds on purpose: it runs on the runtime's threads, few at a time, and who was right is
 * remembered for some minutes by a keyed digest, so that a pull of a hundred blobs pays once.
 */
import { createHmac, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { RegistryError } from '../errors.ts';
import {
  type Access,
  type Authorizer,
  bearerChallenge,
  onlyPulls,
  quoted,
  TOKEN_PATH,
  unauthorized,
} from './authorizer.ts';
import { OwnTokens, TOKEN_LIFE_S } from './own-tokens.ts';

const FILE_BYTES_MAX = 16 << 20;
const BCRYPT = /^\$2[aby]\$(?:0[4-9]|1\d|2\d|3[01])\$[./A-Za-z0-9]{53}$/;
/** What bcrypt looks at; the runtime would hash longer ones first, which htpasswd does not. */
const PASSWORD_BYTES = 72;
const REMEMBERED_MS = 5 * 60_000;
const REMEMBERED_MAX = 4096;
const CHECKS_AT_ONCE = 4;
const CHECKS_WAITING_MAX = 256;
/** How often the file is looked at. */
const LOOK_MS = 1000;
/** Worked on when there are no users at all. */
const NOBODY = '$2b$10$abcdefghijklmnopqrstuuM8uXjbS5dbq5m3n1nYd2z3p0oR8cW5e';

export interface HtpasswdOptions {
  readonly file: string;
  readonly realm: string;
  /** Reading needs no user. */
  readonly anonymousPull: boolean;
  readonly now: () => number;
}

export class Htpasswd implements Authorizer {
  readonly #options: HtpasswdOptions;
  readonly #key = randomBytes(32);
  readonly #tokens: OwnTokens;
  readonly #remembered = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #users: ReadonlyMap<string, string>;
  #stamp: string;
  #lookedAtMs: number;

  /** Errors: invalid-parameter when the file cannot be read or has anything but bcrypt hashes. */
  constructor(options: HtpasswdOptions) {
    this.#options = options;
    this.#tokens = new OwnTokens(this.#key, options.now);
    this.#stamp = stampOf(options.file);
    this.#users = readUsers(options.file);
    this.#lookedAtMs = options.now();
  }

  authorize(request: Request, accesses: readonly Access[]): void | Promise<void> {
    const { anonymousPull } = this.#options;
    const authorization = request.headers.get('authorization');
    if (authorization === null) {
      if (anonymousPull && onlyPulls(accesses)) return undefined;
      throw unauthorized(this.#challenge(request, accesses), accesses);
    }
    const token = anonymousPull ? /^bearer +(\S+)$/i.exec(authorization)?.[1] : undefined;
    if (token !== undefined) {
      const bearer = this.#tokens.read(token);
      if (bearer === 'user' || (bearer === 'anonymous' && onlyPulls(accesses))) return undefined;
      const error = bearer === undefined ? 'invalid_token' : 'insufficient_scope';
      throw unauthorized(this.#challenge(request, accesses, error), accesses);
    }
    const given = credentialsOf(authorization);
    if (given === undefined) throw unauthorized(this.#challenge(request, accesses), accesses);
    const known = this.#known(given);
    const refuse = (right: boolean): void => {
      if (!right) throw wrongUser(this.#challenge(request, accesses), accesses);
    };
    return known instanceof Promise ? known.then(refuse) : refuse(known);
  }

  /** Docker's clients read without a user only where they are given a token for it. */
  async token(request: Request): Promise<Response> {
    const authorization = request.headers.get('authorization');
    const given = authorization === null ? undefined : credentialsOf(authorization);
    if (authorization !== null && (given === undefined || !(await this.#known(given)))) {
      throw wrongUser(`Basic realm=${quoted(this.#options.realm)}`, []);
    }
    const token = this.#tokens.make(given === undefined ? 'anonymous' : 'user');
    const issued = new Date(this.#options.now()).toISOString();
    const answer = { token, access_token: token, expires_in: TOKEN_LIFE_S, issued_at: issued };
    return Response.json(answer, { headers: { 'cache-control': 'no-store' } });
  }

  #challenge(request: Request, accesses: readonly Access[], error?: string): string {
    const { anonymousPull, realm } = this.#options;
    if (!anonymousPull) return `Basic realm=${quoted(realm)}`;
    const { origin, host } = new URL(request.url);
    return bearerChallenge({ realm: origin + TOKEN_PATH, service: host }, accesses, error);
  }

  #known(given: Credentials): boolean | Promise<boolean> {
    this.#reload();
    const hash = this.#users.get(given.user);
    const proof = createHmac('sha256', this.#key)
      .update(JSON.stringify([given.user, given.password, hash ?? null]))
      .digest('base64');
    if ((this.#remembered.get(proof) ?? 0) > this.#options.now()) return true;
    return this.#check(given, hash, proof);
  }

  async #check(given: Credentials, hash: string | undefined, proof: string): Promise<boolean> {
    if (this.#running >= CHECKS_AT_ONCE) {
      if (this.#waiting.length >= CHECKS_WAITING_MAX) {
        throw new RegistryError('TOOMANYREQUESTS', 'too many passwords are being checked', {
          headers: { 'retry-after': '1' },
        });
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#running += 1;
    try {
      const password = Buffer.from(given.password).subarray(0, PASSWORD_BYTES);
      // For a user that does not exist another's hash is worked on, so that names cannot be told by the time it takes.
      const worked = hash ?? this.#users.values().next().value ?? NOBODY;
      const right = await Bun.password.verify(password, worked, 'bcrypt');
      if (!right || hash === undefined) return false;
      if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
      this.#remembered.set(proof, this.#options.now() + REMEMBERED_MS);
      return true;
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  /** A file that has become wrong is told, and the users of before stay. */
  #reload(): void {
    const now = this.#options.now();
    if (now - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = now;
    try {
      const stamp = stampOf(this.#options.file);
      if (stamp === this.#stamp) return;
      this.#stamp = stamp;
      this.#users = readUsers(this.#options.file);
      this.#remembered.clear();
    } catch (error) {
      log.error('the htpasswd file was not read again', { file: this.#options.file, err: messageOf(error) });
    }
  }
}

const wrongUser = (challenge: string, accesses: readonly Access[]): RegistryError =>
  unauthorized(challenge, accesses, 'authentication required: wrong user or password');

interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Undefined when it is not Basic, or has no colon. */
export function credentialsOf(authorization: string): Credentials | undefined {
  const match = /^basic +([A-Za-z0-9+/=_-]+)$/i.exec(authorization);
  if (match === null) return undefined;
  const text = Buffer.from(match[1] ?? '', 'base64').toString('utf8');
  const at = text.indexOf(':');
  return at <= 0 ? undefined : { user: text.slice(0, at), password: text.slice(at + 1) };
}

function stampOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = fs.statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch (cause) {
    throw invalidParameter(`Cannot read the htpasswd file "${file}": ${messageOf(cause)}`, { cause });
  }
}

/** Errors: invalid-parameter with the number of the wrong line. */
export function readUsers(file: string): Map<string, string> {
  let text: string;
  try {
    if (fs.statSync(file).size > FILE_BYTES_MAX) throw new Error(`it is longer than ${FILE_BYTES_MAX} bytes`);
    text = fs.readFileSync(file, 'utf8');
  } catch (cause) {
    throw invalidParameter(`Cannot read the htpasswd file "${file}": ${messageOf(cause)}`, { cause });
  }
  const users = new Map<string, string>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const at = line.indexOf(':');
    const hash = line.slice(at + 1);
    if (at <= 0 || !BCRYPT.test(hash)) {
      throw invalidParameter(
        `Cannot read the htpasswd file "${file}": line ${index + 1} has no bcrypt hash (htpasswd -B)`,
      );
    }
    users.set(line.slice(0, at), hash);
  }
  return users;
}
