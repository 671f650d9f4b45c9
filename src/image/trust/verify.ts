/**
 * Whether the policy lets an image in. Signatures are cosign's: beside the image, under the tag `sha256-<hex>.sig`, lies
 * a manifest whose layers are statements ("this digest is that name"), each signed with a key; cosign 3 makes bundles that
 * refer to the image instead (bundle.ts), which say no name. They are checked against the keys of the policy alone:
 * nothing is asked of anybody but the image's registry.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import * as fs from 'node:fs';
import { digestOf } from '#content/content-store.ts';
import { decodeManifest, type Descriptor } from '#content/descriptor.ts';
import { type BerthError, forbidden, messageOf } from '#errdefs/errors.ts';
import { canonicalName, familiarString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import { BUNDLE_TYPE, field, readBundle } from './bundle.ts';
import { type Key, type Policy, type Requirement, requirementsFor, type SignedIdentity } from './policy.ts';

const PAYLOAD_BYTES_MAX = 1 << 20;
const SIGNATURES_MAX = 64;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const PAYLOAD_TYPE = 'application/vnd.dev.cosign.simplesigning.v1+json';
const SIGNATURE = 'dev.cosignproject.cosign/signature';

/** How signatures are fetched: from the repository of the image. */
export interface SignatureSource {
  /** The manifest under this tag; undefined when there is none. */
  manifest(tagOrDigest: string): Promise<Uint8Array | undefined>;
  /** What refers to the image, unchecked. */
  referrers(digest: string): Promise<readonly unknown[]>;
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
  const required = requirementsFor(policy, candidate.reference).filter(isSigstore);
  const statements: Statement[] = [];
  for (const digest of new Set(candidate.digests)) statements.push(...(await statementsOf(digest, source)));
  // They say no name: where one is demanded they cannot help.
  if (required.some(({ signedIdentity }) => signedIdentity.type === 'matchDigest')) {
    for (const digest of new Set(candidate.digests)) statements.push(...(await bundlesOf(digest, source)));
  }
  for (const requirement of required) {
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

const isSigstore = (requirement: Requirement): requirement is Extract<Requirement, { type: 'sigstoreSigned' }> =>
  requirement.type === 'sigstoreSigned';

interface Statement {
  /** What the signatures are of. */
  readonly signed: Uint8Array;
  readonly signatures: readonly Buffer[];
  /** Undefined when the statement cannot be read. */
  readonly said: { readonly name: string | undefined; readonly digests: readonly string[] } | undefined;
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
    const signatures = [Buffer.from(signature, 'base64')];
    statements.push({ signed: payload, signatures, said: readStatement(payload), digest });
  }
  return statements;
}

async function bundlesOf(digest: string, source: SignatureSource): Promise<Statement[]> {
  const digests = (await source.referrers(digest)).map((entry) => field(entry, 'digest'));
  const statements: Statement[] = [];
  for (const referrer of digests
    .filter((one) => typeof one === 'string' && DIGEST.test(one))
    .slice(0, SIGNATURES_MAX)) {
    const bytes = await source.manifest(String(referrer));
    const manifest = bytes === undefined ? undefined : decodeManifest(bytes);
    if (manifest?.kind !== 'manifest' || manifest.artifactType !== BUNDLE_TYPE) continue;
    const [layer] = manifest.layers;
    if (layer === undefined || layer.size > PAYLOAD_BYTES_MAX) continue;
    const content = await source.blob(layer);
    const bundle = digestOf(content) === layer.digest ? readBundle(content) : undefined;
    if (bundle === undefined) continue;
    const { signed, signatures } = bundle;
    statements.push({ signed, signatures, said: { name: undefined, digests: bundle.digests }, digest });
  }
  return statements;
}

/** Why a statement does not count; undefined when it does. */
function problemOf(
  { signed, signatures, said, digest }: Statement,
  keys: readonly KeyObject[],
  identity: SignedIdentity,
  { reference }: Candidate,
): string | undefined {
  const isTrusted = signatures.some((signature) => keys.some((key) => isSignedBy(key, signed, signature)));
  if (!isTrusted) return 'no signature is of a key that is trusted';
  if (said === undefined) return 'a signed statement cannot be read';
  if (!said.digests.includes(digest)) return 'a signature is of another image';
  if (identity.type === 'matchDigest') return undefined;
  if (said.name === undefined) return 'a signature says no name (signedIdentity "matchDigest" asks for none)';
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

function readStatement(payload: Uint8Array): Statement['said'] {
  try {
    const document: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    const critical = field(document, 'critical');
    const digest = field(field(critical, 'image'), 'docker-manifest-digest');
    const name = field(field(critical, 'identity'), 'docker-reference');
    const type = field(critical, 'type');
    if (type !== 'cosign container image signature' && type !== 'atomic container signature') return undefined;
    return typeof digest === 'string' && typeof name === 'string' ? { name, digests: [digest] } : undefined;
  } catch {
    return undefined;
  }
}

function isIdentity(
  identity: Exclude<SignedIdentity, { type: 'matchDigest' }>,
  signed: string,
  wanted: Reference,
): boolean {
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
