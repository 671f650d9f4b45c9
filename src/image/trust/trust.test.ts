import { afterAll, expect, test } from 'bun:test';
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { parseReference } from '#reference/reference.ts';
import { decodePolicy, requirementsFor } from './policy.ts';
import { Trust } from './trust.ts';
import type { SignatureSource } from './verify.ts';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-trust-'));
afterAll(() => fs.rmSync(scratch, { recursive: true }));

const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const DIGEST = `sha256:${'d'.repeat(64)}`;
const PLATFORM = `sha256:${'e'.repeat(64)}`;
const name = 'registry.example/team/app:1';

/** A registry that has one signature, made as cosign makes it. */
function signed(
  key: KeyObject,
  options: { digest?: string; says?: string; name?: string; harm?: boolean } = {},
): SignatureSource {
  const { digest = DIGEST, says = digest, name: claimed = 'registry.example/team/app' } = options;
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': claimed },
        image: { 'docker-manifest-digest': says },
        type: 'cosign container image signature',
      },
      optional: null,
    }),
  );
  const signature = sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', payload, key).toString('base64');
  const stored = options.harm === true ? Buffer.concat([payload, Buffer.from(' ')]) : payload;
  const manifest = {
    schemaVersion: 2,
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: sha256(Buffer.from('{}')), size: 2 },
    layers: [
      {
        mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
        digest: sha256(stored),
        size: stored.length,
        annotations: { 'dev.cosignproject.cosign/signature': signature },
      },
    ],
  };
  return {
    manifest: async (tag) =>
      tag === `${digest.replace(':', '-')}.sig` ? Buffer.from(JSON.stringify(manifest)) : undefined,
    blob: async () => stored,
    referrers: async () => [],
  };
}

/** A registry with one bundle, made as cosign 3 makes it. */
function bundled(
  key: KeyObject,
  options: { digest?: string; says?: string; predicate?: string; harm?: boolean } = {},
): SignatureSource {
  const { digest = DIGEST, says = digest, predicate = 'https://sigstore.dev/cosign/sign/v1' } = options;
  const statement = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { sha256: says.slice('sha256:'.length) }, annotations: {} }],
      predicateType: predicate,
      predicate: {},
    }),
  );
  const payloadType = 'application/vnd.in-toto+json';
  const head = Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${statement.length} `);
  const sig = sign('sha256', Buffer.concat([head, statement]), key).toString('base64');
  const said = options.harm === true ? Buffer.from(statement.toString().replace('{}', '{"x":1}')) : statement;
  const bundle = Buffer.from(
    JSON.stringify({
      mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
      verificationMaterial: { publicKey: { hint: 'x' } },
      dsseEnvelope: { payload: said.toString('base64'), payloadType, signatures: [{ sig }] },
    }),
  );
  const artifactType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
  const empty = Buffer.from('{}');
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType,
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: sha256(empty), size: empty.length },
      layers: [{ mediaType: artifactType, digest: sha256(bundle), size: bundle.length }],
    }),
  );
  return {
    manifest: async (name) => (name === sha256(manifest) ? manifest : undefined),
    blob: async () => bundle,
    referrers: async (of) => (of === digest ? [null, { digest: 'x' }, { digest: sha256(manifest) }] : []),
  };
}

const nothing: SignatureSource = {
  manifest: async () => undefined,
  blob: async () => Buffer.alloc(0),
  referrers: async () => [],
};

function trustOf(requirement: unknown, requireDigest = false): Trust {
  const policyFile = path.join(scratch, 'policy.json');
  const docker = { 'registry.example/team': [requirement] };
  fs.writeFileSync(policyFile, JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
  return new Trust(() => ({ policyFile, requireDigest }));
}

async function verdict(trust: Trust, source: SignatureSource, reference = name): Promise<string> {
  try {
    trust.admit(parseReference(reference));
    await trust.verify({ reference: parseReference(reference), digests: [DIGEST, PLATFORM] }, source);
    return 'accepted';
  } catch (error) {
    expect(kindOf(error)).toBe('forbidden');
    return messageOf(error);
  }
}

const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' });
const kinds = {
  p256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ed25519: () => generateKeyPairSync('ed25519'),
  rsa: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
};

for (const [kind, generate] of Object.entries(kinds)) {
  test(`a signature of cosign with a key of ${kind}`, async () => {
    const mine = generate();
    const other = generate();
    const keyPath = path.join(scratch, `${kind}.pub`);
    fs.writeFileSync(keyPath, pem(mine.publicKey));
    const trust = trustOf({ type: 'sigstoreSigned', keyPath, signedIdentity: { type: 'matchRepository' } });
    const { privateKey } = mine;
    expect(await verdict(trust, signed(privateKey))).toBe('accepted');
    expect(await verdict(trust, signed(privateKey, { digest: PLATFORM }))).toBe('accepted');
    expect(await verdict(trust, nothing)).toContain('a signature was required, but no signature exists');
    expect(await verdict(trust, signed(other.privateKey))).toContain('no signature is of a key that is trusted');
    expect(await verdict(trust, signed(privateKey, { says: `sha256:${'0'.repeat(64)}` }))).toContain(
      'of another image',
    );
    expect(await verdict(trust, signed(privateKey, { name: 'registry.example/evil' }))).toContain('of the name');
    expect(await verdict(trust, signed(privateKey, { harm: true }))).toContain('key that is trusted');
  });
}

test('identities: exact, of a repository, remapped', async () => {
  const { publicKey, privateKey } = kinds.p256();
  const with_ = (signedIdentity: unknown) =>
    trustOf({
      type: 'sigstoreSigned',
      keyData: Buffer.from(pem(publicKey)).toString('base64'),
      ...(signedIdentity === undefined ? {} : { signedIdentity }),
    });
  const check = async (identity: unknown, claimed: string, reference = name) =>
    (await verdict(with_(identity), signed(privateKey, { name: claimed }), reference)) === 'accepted';
  expect(await check(undefined, 'registry.example/team/app')).toBe(false);
  expect(await check(undefined, 'registry.example/team/app:1')).toBe(true);
  expect(await check(undefined, 'registry.example/team/app:2')).toBe(false);
  expect(await check(undefined, 'registry.example/team/app:2', `registry.example/team/app@${DIGEST}`)).toBe(true);
  expect(await check({ type: 'matchExact' }, 'registry.example/team/app:1')).toBe(true);
  expect(await check({ type: 'exactReference', dockerReference: 'a.example/b:3' }, 'a.example/b:3')).toBe(true);
  expect(await check({ type: 'exactReference', dockerReference: 'a.example/b:3' }, 'a.example/b:4')).toBe(false);
  expect(await check({ type: 'exactRepository', dockerRepository: 'a.example/b' }, 'a.example/b:4')).toBe(true);
  const remap = { type: 'remapIdentity', prefix: 'registry.example', signedPrefix: 'up.example' };
  expect(await check(remap, 'up.example/team/app:1')).toBe(true);
  expect(await check(remap, 'registry.example/team/app:1')).toBe(false);
});

test('bundles of cosign 3 say no name: they count where none is demanded', async () => {
  const mine = kinds.p256();
  const other = kinds.p256();
  const keyData = Buffer.from(pem(mine.publicKey)).toString('base64');
  const trust = trustOf({ type: 'sigstoreSigned', keyData, signedIdentity: { type: 'matchDigest' } });
  const { privateKey } = mine;
  expect(await verdict(trust, bundled(privateKey))).toBe('accepted');
  expect(await verdict(trust, bundled(privateKey, { digest: PLATFORM }))).toBe('accepted');
  expect(await verdict(trust, signed(privateKey, { name: 'registry.example/other' }))).toBe('accepted');
  expect(await verdict(trust, nothing)).toContain('no signature exists');
  expect(await verdict(trust, bundled(other.privateKey))).toContain('no signature is of a key that is trusted');
  expect(await verdict(trust, bundled(privateKey, { harm: true }))).toContain('no signature is of a key');
  expect(await verdict(trust, bundled(privateKey, { says: `sha256:${'0'.repeat(64)}` }))).toContain('of another image');
  expect(await verdict(trust, bundled(privateKey, { predicate: 'https://slsa.dev/provenance/v1' }))).toContain(
    'no signature exists',
  );
  const named = trustOf({ type: 'sigstoreSigned', keyData, signedIdentity: { type: 'matchRepository' } });
  expect(await verdict(named, bundled(privateKey))).toContain('no signature exists');
});

test('rejected, unsupported and unpinned names are refused before anything is fetched', async () => {
  expect(await verdict(trustOf({ type: 'reject' }), nothing)).toBe(
    `image ${name} is refused by the image policy: images of this name are rejected`,
  );
  expect(await verdict(trustOf({ type: 'insecureAcceptAnything' }), nothing, 'busybox')).toContain('rejected');
  expect(await verdict(trustOf({ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/x' }), nothing)).toContain(
    'signedBy',
  );
  expect(await verdict(trustOf({ type: 'sigstoreSigned', fulcio: {} }), nothing)).toContain(
    'sigstoreSigned with fulcio',
  );
  const accept = { type: 'insecureAcceptAnything' };
  expect(await verdict(trustOf(accept, true), nothing)).toContain('a digest is required');
  expect(await verdict(trustOf(accept, true), nothing, `registry.example/team/app@${DIGEST}`)).toBe('accepted');
});

test('the most specific scope counts; a policy that is wrong lets nothing in', () => {
  const accept = [{ type: 'insecureAcceptAnything' }];
  const reject = [{ type: 'reject' }];
  const policy = decodePolicy({
    default: reject,
    transports: {
      docker: {
        'a.example:5000': accept,
        'a.example:5000/x': reject,
        'a.example:5000/x/y': accept,
        'a.example:5000/x/y:bad': reject,
        '*.corp.example': accept,
        'docker.io/library': accept,
      },
    },
  });
  const of = (text: string) => requirementsFor(policy, parseReference(text))[0]?.type;
  expect(of('a.example:5000/z:1')).toBe('insecureAcceptAnything');
  expect(of('a.example:5000/x:1')).toBe('reject');
  expect(of('a.example:5000/x/y:1')).toBe('insecureAcceptAnything');
  expect(of('a.example:5000/x/y:bad')).toBe('reject');
  expect(of('r.corp.example:443/q')).toBe('insecureAcceptAnything');
  expect(of('busybox')).toBe('insecureAcceptAnything');
  expect(of('me/app')).toBe('reject');
  for (const wrong of [
    null,
    {},
    { default: [] },
    { default: accept, other: 1 },
    { default: [{ type: 'maybe' }] },
    { default: [{ type: 'reject', x: 1 }] },
    { default: [{ type: 'sigstoreSigned' }] },
    { default: accept, transports: { docker: { x: 'y' } } },
  ]) {
    expect(() => decodePolicy(wrong)).toThrow('invalid image policy');
  }
  const file = path.join(scratch, 'broken.json');
  fs.writeFileSync(file, '{');
  const broken = new Trust(() => ({ policyFile: file, requireDigest: false }));
  expect(() => broken.admit(parseReference('busybox'))).toThrow('Cannot read the image policy');
});
