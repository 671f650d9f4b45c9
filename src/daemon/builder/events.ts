/** The progress of a build as our own events, one a line: what `berth build` draws its tree from. */
import type { Progress } from '#builder/progress.ts';
import type { BuildResult } from '#builder/request.ts';
import { familiarString, type Reference } from '#reference/reference.ts';

export function eventProgress(write: (line: unknown) => void): {
  readonly progress: Progress;
  finish(result: BuildResult, references: readonly Reference[]): void;
  failed(error: unknown): void;
} {
  const began = performance.now();
  const at = (): number => Math.round(performance.now() - began);
  const progress: Progress = {
    vertex: (vertex) => write({ vertex }),
    started: (id) => write({ started: id, at: at() }),
    container: (id, container) => write({ container, of: id }),
    containerGone: () => undefined,
    log: (id, stream, bytes) => write({ log: Buffer.from(bytes).toString(), of: id, output: stream }),
    status: (id, name, current, total) =>
      write({ status: name, of: id, current, ...(total === undefined ? {} : { total }) }),
    ended: (id, outcome, detail) => write({ ended: id, outcome, ...detail, at: at() }),
    why: (id, reasons) => write({ why: reasons, of: id }),
    note: (note) => write({ note }),
    warning: (warning) => write({ warning }),
  };
  return {
    progress,
    finish: ({ imageId, unusedArgs, descriptor, images }, references) => {
      if (unusedArgs.length > 0)
        write({ warning: `One or more build-args [${unusedArgs.join(' ')}] were not consumed` });
      const about = { ...(descriptor === undefined ? {} : { digest: descriptor.digest }), images };
      write({ built: imageId, ...about, names: references.map(familiarString), at: at(), aux: { ID: imageId } });
    },
    failed: () => undefined,
  };
}
