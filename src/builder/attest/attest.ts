/**
 * Statements about an image in its index, as BuildKit puts them there: a manifest for the platform `unknown/unknown`
 * whose layers are in-toto statements, and whose descriptor names the manifest that they speak of.
 */
import type { ContentLease } from '#content/leases.ts';
import { type Descriptor, MEDIA, type Platform } from '#content/descriptor.ts';
import { formatPlatform } from '#image/platform.ts';
import { familiarName } from '#reference/reference.ts';
import type { FinishedRun, Finishing } from '../finishing.ts';
import { provenanceOf } from './provenance.ts';

const STATEMENT_TYPE = 'application/vnd.in-toto+json';
const SBOM_PREDICATE = 'https://spdx.dev/Document';

export interface Attested {
  readonly manifest: Descriptor;
  readonly platform: Platform;
}

interface Predicate {
  readonly type: string;
  readonly predicate: unknown;
}

/** The descriptor for the index. Errors: invalid-parameter for an SBOM of files that are not known how to be read. */
export async function attest(
  means: Finishing,
  finished: FinishedRun,
  about: Attested,
  lease: ContentLease,
): Promise<Descriptor> {
  const { content, request } = means.session;
  const { provenance, sbom } = request.imageWish.attestations;
  const predicates: Predicate[] = [];
  if (sbom) {
    const { sbomOf } = await import('./sbom.ts');
    predicates.push({ type: SBOM_PREDICATE, predicate: await sbomOf(means, finished, about.platform) });
  }
  if (provenance !== undefined) predicates.push(await provenanceOf(means, finished, provenance, about.platform));
  const layers: Descriptor[] = [];
  for (const { type, predicate } of predicates) {
    const statement = {
      _type: 'https://in-toto.io/Statement/v0.1',
      predicateType: type,
      subject: subjectsOf(means, about),
      predicate,
    };
    const stored = await content.put(Buffer.from(JSON.stringify(statement)), lease);
    layers.push({ mediaType: STATEMENT_TYPE, ...stored, annotations: { 'in-toto.io/predicate-type': type } });
  }
  const unknown = { architecture: 'unknown', os: 'unknown' };
  const config = Buffer.from(
    JSON.stringify({
      ...unknown,
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
    }),
  );
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config: { mediaType: MEDIA.config, ...(await content.put(config, lease)) },
    layers,
  };
  return {
    mediaType: MEDIA.manifest,
    ...(await content.put(Buffer.from(JSON.stringify(document, null, 2)), lease)),
    platform: unknown,
    annotations: {
      'vnd.docker.reference.digest': about.manifest.digest,
      'vnd.docker.reference.type': 'attestation-manifest',
    },
  };
}

/** By every name that the image gets, as package URLs. */
function subjectsOf({ session }: Finishing, { manifest, platform }: Attested): unknown[] {
  const digest = { sha256: manifest.digest.slice('sha256:'.length) };
  const { references } = session.request;
  if (references.length === 0) return [{ name: '_', digest }];
  const query = `?platform=${encodeURIComponent(formatPlatform(platform))}`;
  return references.map((reference) => {
    const name = familiarName({ ...reference, tag: undefined });
    return { name: `pkg:docker/${name}@${reference.tag ?? 'latest'}${query}`, digest };
  });
}
