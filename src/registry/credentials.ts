/** Credentials of a registry, as clients send them in X-Registry-Auth (base64url of JSON). */
import { invalidParameter } from '#errdefs/errors.ts';

export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** A refresh token, from a log-in that asked for one. */
  readonly identityToken: string;
  /** A bearer token that is used as it is. */
  readonly registryToken: string;
  readonly serverAddress: string;
}

const HEADER_LENGTH_MAX = 64 << 10;

export const anonymous: Credentials = {
  username: '',
  password: '',
  identityToken: '',
  registryToken: '',
  serverAddress: '',
};

export const isAnonymous = ({ username, password, identityToken, registryToken }: Credentials): boolean =>
  username === '' && password === '' && identityToken === '' && registryToken === '';

/** Of the header; what cannot be read is none, as in dockerd (old clients send `null`). Errors: invalid-parameter. */
export function decodeCredentials(header: string | undefined): Credentials {
  if (header === undefined || header === '') return anonymous;
  if (header.length > HEADER_LENGTH_MAX) throw invalidParameter('invalid X-Registry-Auth header: it is too long');
  try {
    return credentialsOf(JSON.parse(Buffer.from(header, 'base64url').toString('utf8')));
  } catch {
    return anonymous;
  }
}

/** Of Docker's AuthConfig; missing fields are empty. */
export function credentialsOf(value: unknown): Credentials {
  if (typeof value !== 'object' || value === null) return anonymous;
  // as: every object has string keys with unknown values.
  const fields = value as Readonly<Record<string, unknown>>;
  const text = (name: string): string => (typeof fields[name] === 'string' ? fields[name] : '');
  let username = text('username');
  let password = text('password');
  const joined = text('auth');
  if (username === '' && password === '' && joined !== '') {
    const decoded = Buffer.from(joined, 'base64').toString('utf8');
    const colon = decoded.indexOf(':');
    if (colon > 0) {
      username = decoded.slice(0, colon);
      // Some clients end it with a NUL.
      password = decoded.slice(colon + 1).replace(/\0+$/, '');
    }
  }
  return {
    username,
    password,
    identityToken: text('identitytoken'),
    registryToken: text('registrytoken'),
    serverAddress: text('serveraddress'),
  };
}

/** The value of an Authorization header. */
export function basicAuthorization({ username, password }: Pick<Credentials, 'username' | 'password'>): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}
