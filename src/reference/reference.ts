/**
 * Image names: parse, normalise, print. Pure. A name as people write it (`busybox`, `me/app:2`, `host:5000/a@sha256:…`)
 * becomes a Reference whose domain and path are always complete (`docker.io`, `library/busybox`); the familiar form is
 * what Docker shows. Messages are those of the distribution project: clients and people match them.
 */
import { type BerthError, invalidParameter } from '#errdefs/errors.ts';

const DEFAULT_DOMAIN = 'docker.io';
const LEGACY_DOMAIN = 'index.docker.io';
const OFFICIAL = 'library/';
const DEFAULT_TAG = 'latest';
const PATH_LENGTH_MAX = 255;
/** No legal reference is longer: domain, path, tag and a sha512 digest. A bound for the regular expressions. */
const TEXT_LENGTH_MAX = 1024;

/** `sha256:…`, checked by `parseDigest`. */
export type Digest = string & { readonly __brand: 'Digest' };

export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly domain: string;
  /** `library/busybox`. */
  readonly path: string;
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

const component = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const domainComponent = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const ipv6 = '\\[(?:[a-fA-F0-9:]+)\\]';
const domainPattern = `(?:${domainComponent}(?:\\.${domainComponent})*|${ipv6})(?::[0-9]+)?`;
const tagPattern = '[\\w][\\w.-]{0,127}';
const digestPattern = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}';
const whole = new RegExp(
  `^(?:(${domainPattern})/)?(${component}(?:/${component})*)(?::(${tagPattern}))?(?:@(${digestPattern}))?$`,
);
const wholeTag = new RegExp(`^${tagPattern}$`);
const hexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

const invalidFormat = (): BerthError => invalidParameter('invalid reference format');

/** Whether the text is an image id in full: 64 lower-case hex digits without an algorithm. */
export function isHexId(text: string): boolean {
  return /^[a-f0-9]{64}$/.test(text);
}

/** Checks a digest; errors are the distribution project's. */
export function parseDigest(text: string): Digest {
  const colon = text.indexOf(':');
  if (colon <= 0 || colon + 1 === text.length) throw invalidParameter('invalid checksum digest format');
  const algorithm = text.slice(0, colon);
  const length = hexLengths[algorithm];
  if (length === undefined) {
    if (!/^[a-z0-9]+(?:[.+_-][a-z0-9]+)*$/.test(algorithm)) throw invalidParameter('invalid checksum digest format');
    throw invalidParameter('unsupported digest algorithm');
  }
  const hex = text.slice(colon + 1);
  if (hex.length !== length) throw invalidParameter('invalid checksum digest length');
  if (!/^[a-f0-9]+$/.test(hex)) throw invalidParameter('invalid checksum digest format');
  // as: checked above; a brand exists at compile time only.
  return text as Digest;
}

export function isDigest(text: string): text is Digest {
  try {
    parseDigest(text);
    return true;
  } catch {
    return false;
  }
}

/** Parses a name as people write it. Errors: invalid-parameter with the distribution project's words. */
export function parseReference(text: string): Reference {
  if (isHexId(text)) {
    throw invalidParameter(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`);
  }
  if (text === '' || text.length > TEXT_LENGTH_MAX) throw invalidFormat();
  const [domain, rest] = splitDomain(text);
  const tagAt = rest.search(/[:@]/);
  const remote = tagAt < 0 ? rest : rest.slice(0, tagAt);
  if (remote.toLowerCase() !== remote) {
    throw invalidParameter(`invalid reference format: repository name (${remote}) must be lowercase`);
  }
  const match = whole.exec(`${domain}/${rest}`);
  if (match === null) throw invalidFormat();
  const [, matchedDomain = '', path = '', tag, digest] = match;
  if (path.length > PATH_LENGTH_MAX) {
    throw invalidParameter(`repository name must not be more than ${PATH_LENGTH_MAX} characters`);
  }
  return { domain: matchedDomain, path, tag, digest: digest === undefined ? undefined : parseDigest(digest) };
}

/** The first component is a host when it looks like one; else everything is a path on Docker Hub. */
function splitDomain(text: string): [string, string] {
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  const isHost =
    slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first.toLowerCase() !== first || first === '');
  let domain = isHost ? first : DEFAULT_DOMAIN;
  let rest = isHost ? text.slice(slash + 1) : text;
  if (domain === LEGACY_DOMAIN) domain = DEFAULT_DOMAIN;
  if (domain === DEFAULT_DOMAIN && !rest.includes('/')) rest = OFFICIAL + rest;
  return [domain, rest];
}

/** A bare name means `latest`; one with a tag or digest stays. */
export function withDefaultTag(reference: Reference): Reference {
  if (reference.tag !== undefined || reference.digest !== undefined) return reference;
  return { ...reference, tag: DEFAULT_TAG };
}

/** A name with this tag instead of its own; the digest goes. Errors: invalid-parameter. */
export function withTag(reference: Reference, tag: string): Reference {
  if (!wholeTag.test(tag)) throw invalidParameter(`invalid tag format`);
  return { ...reference, tag, digest: undefined };
}

export function withDigest(reference: Reference, digest: Digest): Reference {
  return { ...reference, tag: undefined, digest };
}

/** `docker.io/library/busybox`. */
export function canonicalName(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** `docker.io/library/busybox:latest`. */
export function canonicalString(reference: Reference): string {
  return canonicalName(reference) + suffix(reference);
}

/** `busybox`, `me/app`, `host:5000/app`. */
export function familiarName(reference: Reference): string {
  if (reference.domain !== DEFAULT_DOMAIN) return canonicalName(reference);
  const { path } = reference;
  if (path.startsWith(OFFICIAL) && !path.includes('/', OFFICIAL.length)) return path.slice(OFFICIAL.length);
  return path;
}

/** `busybox:latest`, `busybox@sha256:…`. */
export function familiarString(reference: Reference): string {
  return familiarName(reference) + suffix(reference);
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

/** `reference=` of a filter: a glob over the familiar string or the familiar name. Errors: invalid-parameter. */
export function matchesReference(pattern: string, reference: Reference): boolean {
  const glob = compileGlob(pattern);
  return glob.test(familiarString(reference)) || glob.test(familiarName(reference));
}

/**
 * Go's path.Match: `*` and `?` do not cross a slash; `[a-z]`, `[^a]`, backslash escapes. As there, what stands between two
 * stars is matched where it first occurs and never elsewhere (a lookahead does not backtrack), so that a hostile pattern
 * takes no exponential time.
 */
export function compileGlob(pattern: string): RegExp {
  const bad = (): BerthError => invalidParameter('syntax error in pattern');
  const chunks = [''];
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i);
    let part: string;
    if (char === '*') {
      // Several stars in a row mean one.
      if (chunks.length === 1 || chunks.at(-1) !== '') chunks.push('');
      continue;
    } else if (char === '?') part = '[^/]';
    else if (char === '\\') {
      if (++i >= pattern.length) throw bad();
      part = escapeRegExp(pattern.charAt(i));
    } else if (char === '[') {
      const [set, end] = globSet(pattern, i + 1, bad);
      part = set;
      i = end;
    } else part = escapeRegExp(char);
    chunks.push((chunks.pop() ?? '') + part);
  }
  const [first = '', ...rest] = chunks;
  const last = rest.pop();
  const middle = rest.map((chunk, i) => `(?=([^/]*?${chunk}))\\${i + 1}`).join('');
  return new RegExp(`^${first}${middle}${last === undefined ? '' : `[^/]*${last}`}$`, 's');
}

function globSet(pattern: string, start: number, bad: () => BerthError): [string, number] {
  let i = start;
  const negated = pattern.charAt(i) === '^';
  if (negated) i += 1;
  let set = '';
  const one = (): string => {
    let char = pattern.charAt(i);
    if (char === '' || char === '-' || char === ']') throw bad();
    if (char === '\\') char = pattern.charAt(++i);
    if (char === '') throw bad();
    i += 1;
    return char;
  };
  for (let count = 0; ; count++) {
    if (pattern.charAt(i) === ']' && count > 0) break;
    const low = one();
    let high = low;
    if (pattern.charAt(i) === '-') {
      i += 1;
      high = one();
    }
    if (low <= high) set += low === high ? escapeInSet(low) : `${escapeInSet(low)}-${escapeInSet(high)}`;
  }
  if (set === '') return [negated ? '[^/]' : '(?!)', i];
  return [negated ? `[^${set}/]` : `[${set}]`, i];
}

const escapeRegExp = (char: string): string => char.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');
const escapeInSet = (char: string): string => char.replace(/[\]\\^-]/g, '\\$&');
