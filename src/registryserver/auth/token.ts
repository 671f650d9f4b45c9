/**
 * Bearer tokens of a token service, as Docker's registry takes them: a JWT that is signed with a key whose public half
 * is given here, and that lists what its bearer may do. The algorithm follows from our key, never from the token.
 */
import { createPublicKey, type KeyObject, verify, X509Certificate } from 'node:crypto';
import * as fs from 'node:fs';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { isObject } from '../manifest.ts';
import { type Access, type Authorizer, bearerChallenge, onlyPulls, unauthorized } from './authorizer.ts';

const TOKEN_BYTES_MAX = 64 << 10;
const CLOCK_SKEW_S = 60;

export interface TokenOptions {
  /** Where clients get tokens. */
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** PEM certificates or public keys, or a JSON web key set. */
  readonly keyFile: string;
  readonly anonymousPull: boolean;
  readonly now: () => number;
}

export class TokenAuthorizer implements Authorizer {
  readonly #options: TokenOptions;
  readonly #keys: readonly KeyObject[];

  /** Errors: invalid-parameter when the file has no usable key. */
  constructor(options: TokenOptions) {
    this.#options = options;
    this.#keys = readKeys(options.keyFile);
  }

  authorize(request: Request, accesses: readonly Access[]): void {
    const { anonymousPull } = this.#options;
    const authorization = request.headers.get('authorization');
    if (authorization === null) {
      if (anonymousPull && onlyPulls(accesses)) return;
      throw unauthorized(this.#challenge(accesses), accesses);
    }
    const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
    const claims = token === undefined ? undefined : this.#claims(token);
    if (claims === undefined) throw unauthorized(this.#challenge(accesses, 'invalid_token'), accesses, 'invalid token');
    const granted = grantsOf(claims['access']);
    if (accesses.every((access) => granted(access))) return;
    const message = 'insufficient scope';
    throw unauthorized(this.#challenge(accesses, 'insufficient_scope'), accesses, message);
  }

  #challenge(accesses: readonly Access[], error?: string): string {
    return bearerChallenge(this.#options, accesses, error);
  }

  /** Undefined when anything about the token is not as it must be. */
  #claims(token: string): Readonly<Record<string, unknown>> | undefined {
    const parts = token.length > TOKEN_BYTES_MAX ? [] : token.split('.');
    const [head = '', body = '', signature = ''] = parts;
    if (parts.length !== 3) return undefined;
    const header = jsonOf(head);
    const claims = jsonOf(body);
    const algorithm = header?.['alg'];
    if (claims === undefined || typeof algorithm !== 'string' || header?.['crit'] !== undefined) return undefined;
    const signed = Buffer.from(`${head}.${body}`);
    const bytes = Buffer.from(signature, 'base64url');
    if (!this.#keys.some((key) => isSigned(key, algorithm, signed, bytes))) return undefined;
    const { iss, aud, exp, nbf } = claims;
    const { issuer, service, now } = this.#options;
    const seconds = now() / 1000;
    const audiences = Array.isArray(aud) ? (aud as readonly unknown[]) : [aud];
    if (iss !== issuer || !audiences.includes(service)) return undefined;
    if (typeof exp !== 'number' || exp + CLOCK_SKEW_S < seconds) return undefined;
    if (nbf !== undefined && (typeof nbf !== 'number' || nbf - CLOCK_SKEW_S > seconds)) return undefined;
    return claims;
  }
}

function grantsOf(claim: unknown): (access: Access) => boolean {
  const entries = Array.isArray(claim) ? (claim as readonly unknown[]).filter(isObject) : [];
  return ({ type, name, action }) =>
    entries.some((entry) => {
      const actions = entry['actions'];
      if (entry['type'] !== type || entry['name'] !== name || !Array.isArray(actions)) return false;
      return actions.includes(action) || actions.includes('*');
    });
}

const HASH: Readonly<Record<string, string>> = { '256': 'sha256', '384': 'sha384', '512': 'sha512' };
const CURVE: Readonly<Record<string, string>> = { ES256: 'prime256v1', ES384: 'secp384r1', ES512: 'secp521r1' };

function isSigned(key: KeyObject, algorithm: string, signed: Buffer, signature: Buffer): boolean {
  const kind = key.asymmetricKeyType;
  try {
    if (algorithm === 'EdDSA') return kind === 'ed25519' && verify(null, signed, key, signature);
    const hash = HASH[algorithm.slice(2)];
    if (hash === undefined) return false;
    if (algorithm.startsWith('RS')) return kind === 'rsa' && verify(hash, signed, key, signature);
    if (algorithm.startsWith('ES')) {
      if (kind !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== CURVE[algorithm]) return false;
      return verify(hash, signed, { key, dsaEncoding: 'ieee-p1363' }, signature);
    }
    return false;
  } catch {
    // A signature that cannot even be read is a wrong one.
    return false;
  }
}

function jsonOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const PEM = /-----BEGIN (CERTIFICATE|PUBLIC KEY|RSA PUBLIC KEY)-----[\s\S]*?-----END \1-----/g;

/** Errors: invalid-parameter. Private keys are refused: they do not belong on a registry. */
export function readKeys(file: string): KeyObject[] {
  try {
    const text = fs.readFileSync(file, 'utf8');
    if (text.includes('PRIVATE KEY-----')) throw new Error('it has a private key; give the public key or certificate');
    const keys = text.trimStart().startsWith('{') ? jwks(text) : pemKeys(text);
    if (keys.length === 0) throw new Error('it has no certificate or public key');
    return keys;
  } catch (cause) {
    throw invalidParameter(`Cannot read the token key "${file}": ${messageOf(cause)}`, { cause });
  }
}

const pemKeys = (text: string): KeyObject[] =>
  [...text.matchAll(PEM)].map(([pem, kind]) =>
    kind === 'CERTIFICATE' ? new X509Certificate(pem).publicKey : createPublicKey(pem),
  );

function jwks(text: string): KeyObject[] {
  const document: unknown = JSON.parse(text);
  const keys =
    isObject(document) && Array.isArray(document['keys']) ? (document['keys'] as readonly unknown[]) : [document];
  return keys.filter(isObject).map((key) => {
    if (key['kty'] === 'oct' || key['d'] !== undefined) throw new Error('it has a secret key; give the public key');
    return createPublicKey({ key, format: 'jwk' });
  });
}
