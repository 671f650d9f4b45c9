/**
 * Which images may be pulled: a policy of the shape of containers-policy.json(5), decoded strictly. A requirement that
 * this program cannot check is kept by its name and refuses, so that no policy is believed to hold that does not.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { canonicalName, canonicalString, type Reference } from '#reference/reference.ts';

export type SignedIdentity =
  | { readonly type: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  /** Ours: whatever the image is called, its digest was signed. Statements without a name count only here. */
  | { readonly type: 'matchDigest' }
  | { readonly type: 'exactReference'; readonly dockerReference: string }
  | { readonly type: 'exactRepository'; readonly dockerRepository: string }
  | { readonly type: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

export interface Key {
  /** File with a public key in PEM. */
  readonly path?: string;
  /** The PEM itself. */
  readonly pem?: string;
}

export type Requirement =
  | { readonly type: 'insecureAcceptAnything' }
  | { readonly type: 'reject' }
  /** One of the keys must have signed. */
  | { readonly type: 'sigstoreSigned'; readonly keys: readonly Key[]; readonly signedIdentity: SignedIdentity }
  | { readonly type: 'unsupported'; readonly name: string };

export interface Policy {
  readonly default: readonly Requirement[];
  /** Of the transport "docker": scope → requirements. */
  readonly scopes: ReadonlyMap<string, readonly Requirement[]>;
}

export const ACCEPT_ANYTHING: Policy = { default: [{ type: 'insecureAcceptAnything' }], scopes: new Map() };

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Errors: invalid-parameter naming the place. */
export function decodePolicy(document: unknown): Policy {
  if (!isFields(document)) throw wrong('', 'it is no object');
  onlyKeys(document, ['default', 'transports'], '');
  const transports = document['transports'] ?? {};
  if (!isFields(transports)) throw wrong('transports', 'it is no object');
  const docker = transports['docker'] ?? {};
  if (!isFields(docker)) throw wrong('transports.docker', 'it is no object');
  const scopes = new Map<string, readonly Requirement[]>();
  for (const [scope, list] of Object.entries(docker)) {
    scopes.set(scope, requirementsOf(list, `transports.docker[${JSON.stringify(scope)}]`));
  }
  return { default: requirementsOf(document['default'], 'default'), scopes };
}

/** What an image of this name must satisfy, all of it: of the most specific scope there is. */
export function requirementsFor(policy: Policy, reference: Reference): readonly Requirement[] {
  const scopes = [canonicalString(reference)];
  for (let name = canonicalName(reference); name !== ''; ) {
    scopes.push(name);
    const slash = name.lastIndexOf('/');
    name = slash < 0 ? '' : name.slice(0, slash);
  }
  const host = reference.domain.replace(/:\d+$/, '');
  const labels = host.split('.');
  for (let n = 1; n < labels.length; n++) scopes.push(`*.${labels.slice(n).join('.')}`);
  scopes.push('');
  for (const scope of scopes) {
    const found = policy.scopes.get(scope);
    if (found !== undefined) return found;
  }
  return policy.default;
}

function requirementsOf(value: unknown, place: string): Requirement[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(place, 'it is no list with a requirement');
  return value.map((entry: unknown, i) => requirementOf(entry, `${place}[${i}]`));
}

function requirementOf(value: unknown, place: string): Requirement {
  if (!isFields(value) || typeof value['type'] !== 'string') throw wrong(place, 'it has no type');
  const { type } = value;
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      onlyKeys(value, ['type'], place);
      return { type };
    case 'sigstoreSigned':
      return sigstoreOf(value, place);
    case 'signedBy':
    case 'signedBaseLayer':
      return { type: 'unsupported', name: type };
    default:
      throw wrong(place, `unknown type ${JSON.stringify(type)}`);
  }
}

function sigstoreOf(value: Fields, place: string): Requirement {
  for (const name of [
    'fulcio',
    'pki',
    'rekorPublicKeyPath',
    'rekorPublicKeyData',
    'rekorPublicKeyPaths',
    'rekorPublicKeyDatas',
  ]) {
    if (value[name] !== undefined) return { type: 'unsupported', name: `sigstoreSigned with ${name}` };
  }
  onlyKeys(value, ['type', 'keyPath', 'keyPaths', 'keyData', 'keyDatas', 'signedIdentity'], place);
  const texts = (one: string, many: string): string[] => {
    const list: unknown[] = [];
    const single = value[one];
    const several = value[many];
    if (single !== undefined) list.push(single);
    if (Array.isArray(several)) for (const one of several as readonly unknown[]) list.push(one);
    else if (several !== undefined) throw wrong(place, `${many} is no list`);
    return list.map((text) => {
      if (typeof text !== 'string' || text === '') throw wrong(place, `${one} is no text`);
      return text;
    });
  };
  const keys: Key[] = [
    ...texts('keyPath', 'keyPaths').map((path) => ({ path })),
    ...texts('keyData', 'keyDatas').map((data) => ({ pem: Buffer.from(data, 'base64').toString('utf8') })),
  ];
  if (keys.length === 0) throw wrong(place, 'sigstoreSigned needs keyPath, keyPaths, keyData or keyDatas');
  return {
    type: 'sigstoreSigned',
    keys,
    signedIdentity: identityOf(value['signedIdentity'], `${place}.signedIdentity`),
  };
}

function identityOf(value: unknown, place: string): SignedIdentity {
  if (value === undefined) return { type: 'matchRepoDigestOrExact' };
  if (!isFields(value)) throw wrong(place, 'it is no object');
  const text = (key: string): string => {
    const found = value[key];
    if (typeof found !== 'string' || found === '') throw wrong(place, `${key} is missing`);
    return found;
  };
  const type = value['type'];
  switch (type) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
    case 'matchDigest':
      return { type };
    case 'exactReference':
      return { type, dockerReference: text('dockerReference') };
    case 'exactRepository':
      return { type, dockerRepository: text('dockerRepository') };
    case 'remapIdentity':
      return { type, prefix: text('prefix'), signedPrefix: text('signedPrefix') };
    default:
      throw wrong(place, 'unknown type');
  }
}

function onlyKeys(value: Fields, known: readonly string[], place: string): void {
  for (const key of Object.keys(value))
    if (!known.includes(key)) throw wrong(place, `unknown key ${JSON.stringify(key)}`);
}

const wrong = (place: string, why: string) =>
  invalidParameter(`invalid image policy${place === '' ? '' : ` at ${place}`}: ${why}`);
