/** A part of a COPY or ADD: sources of one place. */
import type { Selection } from '../files/jobs.ts';

/** One root and the sources in it. */
export interface CopyPart {
  readonly selection: Selection;
  /** Owners of the source stay. */
  readonly keepOwners: boolean;
  /** A remote file, whose name may be the destination's. */
  readonly rename?: boolean;
  /** Archives among the sources are unpacked. */
  readonly unpack: boolean;
}
