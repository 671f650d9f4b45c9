/**
 * What the cache needs of the registry that it stands before. Digests are checked by the cache: an upstream may lie.
 */
export interface UpstreamManifest {
  readonly bytes: Buffer;
  readonly mediaType: string;
}

export interface UpstreamBlob {
  /** Where the body begins: 0 when the upstream knows no ranges. */
  readonly offset: number;
  /** Of the whole blob; undefined when the upstream does not say. */
  readonly size: number | undefined;
  readonly body: AsyncIterable<Uint8Array>;
}

export interface UpstreamAsk {
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Errors of all: `UpstreamFailure`. */
export interface Upstream {
  /** The digest that a tag means now; undefined when the upstream does not tell it by itself. */
  find(ask: UpstreamAsk, tag: string): Promise<string | undefined>;
  manifest(ask: UpstreamAsk, tagOrDigest: string): Promise<UpstreamManifest>;
  blobSize(ask: UpstreamAsk, digest: string): Promise<number>;
  blob(ask: UpstreamAsk, digest: string, offset: number): Promise<UpstreamBlob>;
  tags(ask: UpstreamAsk): Promise<readonly string[]>;
  /** All that refers to a manifest, unchecked; undefined when the upstream does not know the question. */
  referrers(ask: UpstreamAsk, digest: string): Promise<readonly unknown[] | undefined>;
}

export type UpstreamFailureKind =
  /** It is there and says that it has no such thing. */
  | 'missing'
  /** It does not let us see it. */
  | 'refused'
  /** Too many requests. */
  | 'limited'
  /** No network, no answer, an answer that makes no sense, or a fault of its own. */
  | 'unreachable';

export class UpstreamFailure extends Error {
  override readonly name = 'UpstreamFailure';
  readonly kind: UpstreamFailureKind;
  readonly retryAfterS: number | undefined;

  constructor(kind: UpstreamFailureKind, message: string, options: { cause?: unknown; retryAfterS?: number } = {}) {
    super(message, { cause: options.cause });
    this.kind = kind;
    this.retryAfterS = options.retryAfterS;
  }
}
