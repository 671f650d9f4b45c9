/** The body of POST /volumes/create. */
import type { VolumeCreateRequest } from '#api/types/volume.ts';
import { notImplemented } from '#errdefs/errors.ts';
import { omitEmpty, struct, text, textMap } from './fields.ts';

const create = struct<VolumeCreateRequest>('volume.CreateOptions', {
  Name: omitEmpty(text),
  Driver: omitEmpty(text),
  DriverOpts: omitEmpty(textMap),
  Labels: omitEmpty(textMap),
});

/** Errors: invalid-parameter naming the field; not-implemented for a cluster volume. */
export function decodeVolumeCreate(body: unknown): VolumeCreateRequest {
  const cluster: unknown =
    typeof body === 'object' && body !== null ? Reflect.get(body, 'ClusterVolumeSpec') : undefined;
  if (cluster !== undefined && cluster !== null) {
    throw notImplemented('Cannot create a cluster volume: this needs a swarm manager');
  }
  return create(body, { struct: 'CreateOptions', path: '' });
}
