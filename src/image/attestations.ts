/** What was said about an image when it was built (SBOM, provenance): in-toto statements beside it in its index. */
import type { AttestationStatement } from '#api/types/image.ts';
import { isAttestation, type Manifest, type Platform } from '#content/descriptor.ts';
import { digestOf } from '#content/content-store.ts';
import { notFound } from '#errdefs/errors.ts';
import { parseJson } from './config.ts';
import type { ImageStore } from './image-store.ts';
import { wireDescriptor } from './manifest-summary.ts';
import { targetOf, variantsOf } from './variants.ts';

const STATEMENT_BYTES_MAX = 64 << 20;
const PREDICATE = 'in-toto.io/predicate-type';

export interface AttestationInput {
  readonly image: string;
  readonly platform: Platform | undefined;
  /** Predicate types; empty: all. */
  readonly types: readonly string[];
  /** With what they say, not only that they exist. */
  readonly statement: boolean;
}

/** Errors: not-found for the image or its platform; data-loss for a statement that is damaged. */
export function attestationsOf(store: ImageStore, input: AttestationInput): AttestationStatement[] {
  const image = store.resolve(input.image, input.platform);
  const named = store.resolve(input.image);
  const target = targetOf(store, input.image, named);
  const statements: AttestationStatement[] = [];
  for (const { descriptor } of variantsOf(store, target)) {
    const about = descriptor.annotations?.['vnd.docker.reference.digest'];
    if (!isAttestation(descriptor) || about === undefined || !image.manifests.includes(about)) continue;
    const manifest = store.content.document(descriptor.digest);
    if (manifest?.kind === 'manifest') statements.push(...statementsOf(store, manifest, input));
  }
  return statements;
}

function statementsOf(store: ImageStore, manifest: Manifest, input: AttestationInput): AttestationStatement[] {
  return manifest.layers.flatMap((layer) => {
    const type = layer.annotations?.[PREDICATE] ?? '';
    if (input.types.length > 0 && !input.types.includes(type)) return [];
    const row: AttestationStatement = { Descriptor: wireDescriptor(layer), PredicateType: type };
    if (!input.statement) return [row];
    if (!store.content.has(layer.digest)) throw notFound(`the attestation ${layer.digest} is not here`);
    const bytes = store.content.read(layer.digest, STATEMENT_BYTES_MAX);
    return [{ ...row, Statement: parseJson(bytes, `attestation ${digestOf(bytes)}`) }];
  });
}
