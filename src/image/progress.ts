/** Progress as clients of Docker read it: one JSON object a line. */
import type { ProgressMessage } from '#api/types/image.ts';
import { humanSize } from '#pkg/units/size.ts';

export interface ProgressSink {
  write(bytes: Uint8Array): Promise<void>;
}

export type Tell = (message: ProgressMessage) => Promise<void>;

/** A function that writes messages to `sink`. */
export function progressTo(sink: ProgressSink): Tell {
  return (message) => sink.write(Buffer.from(`${JSON.stringify(message)}\r\n`));
}

/** A bar's state: dockerd sends the drawn text beside the numbers, and old clients show only that. */
export function barMessage(status: string, id: string, current: number, total: number): ProgressMessage {
  const percent = total > 0 ? Math.trunc((current / total) * 100) : 0;
  const cells = Math.min(50, Math.trunc(percent / 2));
  const bar = `${'='.repeat(cells)}>${' '.repeat(50 - cells)}`;
  const amounts = `${humanSize(current).padStart(8)}/${humanSize(total)}`;
  return { status, progressDetail: { current, total }, progress: `[${bar}] ${amounts}`, id };
}
