/** What a step of a build sees besides its files. */
import type { Mount } from '#libcontainer/spec.ts';

export interface SeenByStep extends Disposable {
  /** NAME=value. */
  readonly env: readonly string[];
  readonly mounts: readonly Mount[];
}
