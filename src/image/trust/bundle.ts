/**
 * Signatures as cosign 3 makes them: a sigstore bundle that refers to the image, with a signed statement (in-toto, in a
 * DSSE envelope) that its digest was signed. Such a statement says no name. Only signatures by keys are read.
 */
export interface SignedDigests {
  /** What the signature is of: not the payload alone. */
  readonly signed: Buffer;
  readonly signatures: readonly Buffer[];
  readonly digests: readonly string[];
}

export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
const PREDICATE = 'https://sigstore.dev/cosign/sign/v1';
const STATEMENT = 'https://in-toto.io/Statement/v1';
const SIGNATURES_MAX = 16;
const SUBJECTS_MAX = 64;

/** Undefined when it is none, or states something else than a signature. */
export function readBundle(bytes: Uint8Array): SignedDigests | undefined {
  const bundle = parsed(bytes);
  const envelope = field(bundle, 'dsseEnvelope');
  const payload = field(envelope, 'payload');
  if (field(bundle, 'mediaType') !== BUNDLE_TYPE || typeof payload !== 'string') return undefined;
  if (field(envelope, 'payloadType') !== PAYLOAD_TYPE) return undefined;
  const statement = Buffer.from(payload, 'base64');
  const said = parsed(statement);
  if (field(said, '_type') !== STATEMENT || field(said, 'predicateType') !== PREDICATE) return undefined;
  return {
    signed: Buffer.concat([
      Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${statement.length} `),
      statement,
    ]),
    signatures: texts(listOf(envelope, 'signatures', SIGNATURES_MAX).map((entry) => field(entry, 'sig'))).map((text) =>
      Buffer.from(text, 'base64'),
    ),
    digests: texts(listOf(said, 'subject', SUBJECTS_MAX).map((entry) => field(field(entry, 'digest'), 'sha256'))).map(
      (hex) => `sha256:${hex}`,
    ),
  };
}

const texts = (values: readonly unknown[]): string[] =>
  values.filter((value): value is string => typeof value === 'string');

function listOf(value: unknown, key: string, max: number): readonly unknown[] {
  const list = field(value, key);
  return Array.isArray(list) ? list.slice(0, max) : [];
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    return undefined;
  }
}

// as: every object has string keys with unknown values.
export const field = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
