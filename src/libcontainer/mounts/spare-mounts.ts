/**
 * File systems of containers that are made before the start that needs them: most containers want the same few (/dev with
 * the default devices, terminals, shared memory, the empty one that masks), and making them is a sixth of a start. A
 * detached mount is in no mount table and goes with its descriptor, so a crash leaves nothing.
 */
import { Spares } from '#pkg/spares/spares.ts';
import { close } from '#sys/files.ts';

/** By descriptor. */
export type SpareMounts = Spares<number>;

export function spareMounts(): SpareMounts {
  return new Spares(close);
}
