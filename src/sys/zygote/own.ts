/** The zygote of this process itself, for the rare work that takes a child of ours: made at the first need. */
import { Zygote } from './zygote.ts';

let zygote: Zygote | undefined;

/** Main thread only. */
export function ownZygote(): Zygote {
  zygote ??= new Zygote();
  return zygote;
}
