/**
 * The formats of image archives: docker-archive (manifest.json), OCI image layout (index.json), and both in one file as
 * Docker writes it since 25. Archives come from strangers: documents are bounded, types are checked, and everything that
 * is named by a digest is checked against it.
 */
import { MANIFEST_BYTES_MAX } from '#content/descriptor.ts';
import { dataLoss, notImplemented } from '#errdefs/errors.ts';
import { readDockerArchive } from './archive-docker.ts';
import { readOciLayout } from './archive-oci.ts';
import type { ArchivedName } from './archived.ts';
import type { Spool } from './spool.ts';

/** The images of an archive. Errors: data-loss naming what is wrong. */
export function readImages(spool: Spool): ArchivedName[] {
  const index = spool.read('index.json', MANIFEST_BYTES_MAX);
  // Of both in one file: the layout has the manifests, hence digests and platforms.
  if (index !== undefined && spool.file('oci-layout') !== undefined) return readOciLayout(spool, index);
  const manifest = spool.read('manifest.json', MANIFEST_BYTES_MAX);
  if (manifest !== undefined) return readDockerArchive(spool, manifest);
  if (index !== undefined) return readOciLayout(spool, index);
  if (spool.file('repositories') !== undefined) {
    throw notImplemented('image archives of Docker before 1.10 are not supported: they have no manifest.json');
  }
  throw dataLoss('invalid image archive: it has neither manifest.json nor index.json');
}
