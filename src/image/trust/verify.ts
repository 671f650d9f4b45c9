/**
 * Whether the policy lets an image in. Signatures are cosign's: beside the image, under the tag `sha256-<hex>.sig`, lies
 * a manifest whose layers are statements ("this digest is that name"), each signed with a key. They are checked against
 * the keys of the policy alone: nothing is asked of anybody but the image's registry.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import * as fs from 'node:fs';
import { digestOf } from '#content/content-store.ts';
import { decodeManifest, type Descriptor } from '#content/descriptor.ts';
import { type BerthError, forbidden, messageOf } from '#errdefs/errors.ts';
import { canonicalName, familiarString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { type Key, type Policy, type Requirement, requirementsFor, type SignedIdentity } from './policy.ts';

const PAYLOAD_BYTES_MAX = 1 << 20;
const SIGNATURES_MAX = 64;
const PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';
const SIGNATURE = 'dev.cosignproject.cosign/signature';

/** How signatures are fetched: from the repository of the image. */
export interface SignatureSource {
  /** The manifest under this tag; undefined when there is none. */
  manifest(tag: string): Promise<Uint8Array | undefined>;
  blob(descriptor: Descriptor): Promise<Uint8Array>;
}

export interface Candidate {
  readonly reference: Reference;
  /** What the name stands for, and the manifest of the platform: a signature of one of them suffices. */
  readonly digests: readonly string[];
}

/** Whether the answer depends on signatures, without fetching one. Errors: forbidden when no signature would help. */
export function needsSignatures(policy: Policy, reference: Reference): boolean {
  const requirements = requirementsFor(policy, reference);
  for (const requirement of requirements) refuseOutright(requirement, reference);
  return requirements.some(({ type }) => type === 'sigstoreSigned');
}

/** Resolves when every requirement is met. Errors: forbidden saying which is not; those of fetching. */
export async function verifyImage(policy: Policy, candidate: Candidate, source: SignatureSource): Promise<void> {
  if (!needsSignatures(policy, candidate.reference)) return;
  const statements: Statement[] = [];
  for (const digest of new Set(candidate.digests)) statements.push(...(await statementsOf(digest, source)));
  for (const requirement of requirementsFor(policy, candidate.reference)) {
    if (requirement.type !== 'sigstoreSigned') continue;
    if (statements.length === 0)
      throw refused(candidate.reference, 'a signature was required, but no signature exists');
    const keys = requirement.keys.map(readKey);
    const problems: string[] = [];
    const accepted = statements.some((statement) => {
      const problem = problemOf(statement, keys, requirement.signedIdentity, candidate);
      if (problem !== undefined) problems.push(problem);
      return problem === undefined;
    });
    if (!accepted) throw refused(candidate.reference, [...new Set(problems)].join('; '));
  }
}

interface Statement {
  readonly payload: Uint8Array;
  readonly signature: Buffer;
  /** The image that it was found beside. */
  readonly digest: string;
}

async function statementsOf(digest: string, source: SignatureSource): Promise<Statement[]> {
  const bytes = await source.manifest(`${digest.replace(':', '-')}.sig`);
  if (bytes === undefined) return [];
  const manifest = decodeManifest(bytes);
  if (manifest.kind !== 'manifest') return [];
  const statements: Statement[] = [];
  for (const layer of manifest.layers.slice(0, SIGNATURES_MAX)) {
    const signature = layer.annotations?.[SIGNATURE];
    if (layer.mediaType !== PAYLOAD_TYPE || signature === undefined || layer.size > PAYLOAD_BYTES_MAX) continue;
    const payload = await source.blob(layer);
    if (digestOf(payload) !== layer.digest) continue;
    statements.push({ payload, signature: Buffer.from(signature, 'base64'), digest });
  }
  return statements;
}

/** Why a statement does not count; undefined when it does. */
function problemOf(
  { payload, signature, digest }: Statement,
  keys: readonly KeyObject[],
  identity: SignedIdentity,
  { reference }: Candidate,
): string | undefined {
  if (!keys.some((key) => isSignedBy(key, payload, signature))) return 'no signature is of a key that is trusted';
  const said = readStatement(payload);
  if (said === undefined) return 'a signed statement cannot be read';
  if (said.digest !== digest) return 'a signature is of another image';
  if (isIdentity(identity, said.name, reference)) return undefined;
  return `a signature is of the name ${JSON.stringify(said.name)}`;
}

function isSignedBy(key: KeyObject, payload: Uint8Array, signature: Buffer): boolean {
  try {
    return verify(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key, signature);
  } catch {
    // Not even a signature of this kind of key.
    return false;
  }
}

function readStatement(payload: Uint8Array): { readonly name: string; readonly digest: string } | undefined {
  try {
    const document: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    const critical = field(document, 'critical');
    const digest = field(field(critical, 'image'), 'docker-manifest-digest');
    const name = field(field(critical, 'identity'), 'docker-reference');
    const type = field(critical, 'type');
    if (type !== 'cosign container image signature' && type !== 'atomic container signature') return undefined;
    return typeof digest === 'string' && typeof name === 'string' ? { name, digest } : undefined;
  } catch {
    return undefined;
  }
}

// as: every object has string keys with unknown values.
const field = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;

function isIdentity(identity: SignedIdentity, signed: string, wanted: Reference): boolean {
  const name = parsed(identity.type === 'exactReference' ? identity.dockerReference : signed);
  const said = parsed(signed);
  if (name === undefined || said === undefined) return false;
  const sameName = canonicalName(said) === canonicalName(wanted);
  const same = (a: Reference, b: Reference): boolean =>
    canonicalName(a) === canonicalName(b) && a.tag === b.tag && a.digest === b.digest;
  const target = withDefaultTag(wanted);
  switch (identity.type) {
    case 'matchExact':
      return same(said, target);
    case 'matchRepoDigestOrExact':
      return target.digest === undefined ? same(said, target) : sameName;
    case 'matchRepository':
      return sameName;
    case 'exactReference':
      return same(said, name);
    case 'exactRepository':
      return canonicalName(said) === identity.dockerRepository;
    case 'remapIdentity':
      return isRemapped(identity, said, target);
    default:
      return identity satisfies never;
  }
}

function isRemapped(identity: { prefix: string; signedPrefix: string }, said: Reference, target: Reference): boolean {
  const { prefix, signedPrefix } = identity;
  const full = canonicalName(target);
  const matches = full === prefix || full.startsWith(`${prefix}/`);
  if (canonicalName(said) !== (matches ? signedPrefix + full.slice(prefix.length) : full)) return false;
  return target.digest !== undefined || said.tag === target.tag;
}

function parsed(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

function readKey(key: Key): KeyObject {
  try {
    return createPublicKey(key.pem ?? fs.readFileSync(key.path ?? '', 'utf8'));
  } catch (cause) {
    const where = key.path === undefined ? 'the policy' : JSON.stringify(key.path);
    throw forbidden(`Cannot read the public key of ${where}: ${messageOf(cause)}`, { cause });
  }
}

function refuseOutright(requirement: Requirement, reference: Reference): void {
  if (requirement.type === 'reject') throw refused(reference, 'images of this name are rejected');
  if (requirement.type === 'unsupported') {
    throw refused(reference, `it requires ${requirement.name}, which cannot be checked here`);
  }
}

const refused = (reference: Reference, why: string): BerthError =>
  forbidden(`image ${familiarString(reference)} is refused by the image policy: ${why}`);
