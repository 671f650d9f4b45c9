/** The image policy's question to a registry: which signatures lie beside an image. */
import { decodeManifest } from '#content/descriptor.ts';
import type { PullMeans } from '#distribution/pull.ts';
import type { Trust } from '#image/trust/trust.ts';
import { readBlob } from '#registry/blobs.ts';
import { RegistryError } from '#registry/failures.ts';
import { fetchManifest } from '#registry/manifests.ts';
import { listReferrers } from '#registry/referrers.ts';

export function admitBy(trust: Trust): PullMeans['admit'] {
  return async ({ reference, digests, repository }) => {
    trust.admit(reference);
    await trust.verify(
      { reference, digests },
      {
        referrers: async (digest) => (await listReferrers(repository, digest)) ?? [],
        manifest: async (tagOrDigest) => {
          try {
            const { bytes } = await fetchManifest(repository, tagOrDigest);
            decodeManifest(bytes);
            return bytes;
          } catch (error) {
            if (error instanceof RegistryError && error.status === 404) return undefined;
            throw error;
          }
        },
        blob: ({ digest, size }) => readBlob(repository, { digest, size }),
      },
    );
  };
}
