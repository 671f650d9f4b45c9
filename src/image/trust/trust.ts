/**
 * The policy that is in force, read from its file when it has changed, and the demand for digests. `pull` asks `admit`
 * before it fetches anything and `verify` before anything of an image becomes visible.
 */
import * as fs from 'node:fs';
import { forbidden, invalidParameter, messageOf } from '#errdefs/errors.ts';
import { familiarString, type Reference } from '#reference/reference.ts';
import { ACCEPT_ANYTHING, decodePolicy, type Policy } from './policy.ts';
import { type Candidate, needsSignatures, type SignatureSource, verifyImage } from './verify.ts';

const POLICY_BYTES_MAX = 4 << 20;

export interface TrustSettings {
  /** '' for none. A file that was named must be there. */
  readonly policyFile: string;
  /** Names without a digest are refused. */
  readonly requireDigest: boolean;
}

export class Trust {
  readonly #settings: () => TrustSettings;
  #read: { readonly file: string; readonly stamp: string; readonly policy: Policy } | undefined;

  constructor(settings: () => TrustSettings) {
    this.#settings = settings;
  }

  /** Before anything is fetched. Errors: forbidden; invalid-parameter when the policy cannot be read. */
  admit(reference: Reference): void {
    this.requirePinned(reference);
    needsSignatures(this.#policy(), reference);
  }

  /** Errors: forbidden when names need a digest and this one has none. */
  requirePinned(reference: Reference): void {
    if (!this.#settings().requireDigest || reference.digest !== undefined) return;
    throw forbidden(`${familiarString(reference)} is refused: a digest is required (NAME@sha256:…)`);
  }

  /**
   * Before anything of the image becomes visible: `digests` are those of what the name stands for and of the manifest of
   * the platform. Errors: forbidden saying what is missing.
   */
  async verify(candidate: Candidate, source: SignatureSource): Promise<void> {
    await verifyImage(this.#policy(), candidate, source);
  }

  /** Errors: invalid-parameter. A policy that cannot be read lets nothing in. */
  #policy(): Policy {
    const file = this.#settings().policyFile;
    if (file === '') return ACCEPT_ANYTHING;
    try {
      const { size, mtimeMs, ino } = fs.statSync(file);
      const stamp = `${ino} ${size} ${mtimeMs}`;
      if (this.#read?.file === file && this.#read.stamp === stamp) return this.#read.policy;
      if (size > POLICY_BYTES_MAX) throw invalidParameter('it is too long');
      const policy = decodePolicy(JSON.parse(fs.readFileSync(file, 'utf8')));
      this.#read = { file, stamp, policy };
      return policy;
    } catch (cause) {
      throw invalidParameter(`Cannot read the image policy ${JSON.stringify(file)}: ${messageOf(cause)}`, { cause });
    }
  }
}
