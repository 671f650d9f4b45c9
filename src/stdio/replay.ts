/**
 * Attach with `logs`: what was logged so far, then what comes, with nothing missing or twice in between. The output stands
 * still while the log is read up to exactly where it stood.
 */
import type { Connection } from '#api/jobs/streams.ts';
import type { LogReader, ReadLogsRequest } from '#logger/read.ts';
import type { Attachment, ProcessOutput, Selection } from './pump.ts';

export interface ReplayRequest extends Selection {
  readonly connection: Connection;
  readonly output: ProcessOutput;
  readonly log: ReadLogsRequest['log'];
  readonly tty: boolean;
  readonly mergeFrames: boolean;
  readonly reader: LogReader;
}

export async function attachWithLogs(request: ReplayRequest): Promise<Attachment> {
  const { connection, log, stdout, stderr } = request;
  const held = await request.output.hold({ stdout, stderr });
  let resumed = false;
  try {
    await request.reader.read(
      {
        log,
        stdout,
        stderr,
        timestamps: false,
        details: false,
        frames: request.tty ? 'none' : request.mergeFrames ? 'merged' : 'line',
        sinceNs: 0n,
        untilNs: 0n,
        tail: -1,
        follow: undefined,
        upTo: held.position,
        signal: connection.closed,
      },
      connection,
    );
    const attachment = await held.resume(connection);
    resumed = true;
    return attachment;
  } finally {
    if (!resumed) held.cancel();
  }
}
