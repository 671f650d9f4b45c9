/** What a name stands for in its registry now, and whether that is what is here. */
import { distributionInspect } from '#api/jobs/image.ts';
import type { OutdatedImage } from '#api/types/image-upkeep.ts';
import type { Caller } from '#engine/engine.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import { canonicalName, familiarString, parseReference, type Reference } from '#reference/reference.ts';
import type { Services } from '../services.ts';

const AT_ONCE = 4;
const AUTHS_LENGTH_MAX = 1 << 20;
const HUB = 'https://index.docker.io/v1/';
const caller: Caller = { source: 'image.outdated' };

/** Credentials of a request by registry; each as X-Registry-Auth wants it, '' for none. Errors: invalid-parameter. */
export function authOf(auths: string): (reference: Reference) => string {
  const table = decode(auths);
  return (reference) => {
    const { domain } = reference;
    // As podman's: of a part of a registry before those of all of it.
    const parts: string[] = [];
    for (let name = canonicalName(reference); name.includes('/'); name = name.slice(0, name.lastIndexOf('/'))) {
      parts.push(name);
    }
    const keys = [...parts, domain, `https://${domain}`, ...(domain === 'docker.io' ? [HUB] : [])];
    const key = keys.find((one) => table.has(one));
    const found = key === undefined ? undefined : table.get(key);
    return found === undefined ? '' : Buffer.from(JSON.stringify(found)).toString('base64url');
  };
}

function decode(auths: string): Map<string, unknown> {
  if (auths === '') return new Map();
  try {
    if (auths.length > AUTHS_LENGTH_MAX) throw new TypeError('it is too long');
    const parsed: unknown = JSON.parse(Buffer.from(auths, 'base64url').toString('utf8'));
    if (typeof parsed !== 'object' || parsed === null) throw new TypeError('it is no object');
    return new Map<string, unknown>(Object.entries(parsed));
  } catch (cause) {
    throw invalidParameter(`invalid X-Registry-Config header: ${messageOf(cause)}`, { cause });
  }
}

/** Names by names; those that the registry does not tell of are unknown, with the reason. */
export async function outdatedImages(
  services: Services,
  names: readonly string[],
  auths: string,
  signal: AbortSignal,
): Promise<OutdatedImage[]> {
  const { images } = services;
  const auth = authOf(auths);
  const asked = new Set(names.map((name) => familiarString(referenceOf(services, name))));
  const wanted = images
    .names()
    .filter(({ reference }) => reference.digest === undefined)
    .filter(({ reference }) => asked.size === 0 || asked.has(familiarString(reference)));
  const rows: OutdatedImage[] = [];
  const next = wanted.entries();
  const work = async (): Promise<void> => {
    for (const [i, { reference, id }] of next)
      rows[i] = await compare(services, reference, id, auth(reference), signal);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return rows;
}

/** Errors: not-found. */
function referenceOf({ images }: Services, name: string): Reference {
  const image = images.resolve(name);
  const names = images.references(image.id).filter(({ digest }) => digest === undefined);
  const given = parseReference(name);
  const [first] = names;
  return (
    names.find((known) => canonicalName(known) === canonicalName(given) && known.tag === (given.tag ?? 'latest')) ??
    first ??
    given
  );
}

async function compare(
  services: Services,
  reference: Reference,
  id: string,
  auth: string,
  signal: AbortSignal,
): Promise<OutdatedImage> {
  const name = familiarString(reference);
  const known = digestsOf(services, reference, id);
  const row = { Name: name, Id: id, Digest: known[0] ?? '', RemoteDigest: '', Error: '' };
  try {
    const { Descriptor } = await services.engine.run(distributionInspect, { image: name, auth }, { caller, signal });
    const isCurrent = known.includes(Descriptor.digest);
    return { ...row, RemoteDigest: Descriptor.digest, Status: isCurrent ? 'current' : 'outdated' };
  } catch (error) {
    return { ...row, Status: 'unknown', Error: messageOf(error) };
  }
}

/** What the name stands for, and what its repository's names with a digest say of the image. */
function digestsOf({ images }: Services, reference: Reference, id: string): string[] {
  const target = images.target(reference);
  const others = images
    .references(id)
    .filter(({ digest }) => digest !== undefined)
    .filter((other) => canonicalName(other) === canonicalName(reference))
    .flatMap(({ digest }) => digest ?? []);
  return [...new Set([...(target === undefined ? [] : [target]), ...others])];
}
