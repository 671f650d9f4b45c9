/**
 * Attach with `logs`: what was logged so far, then what comes, with nothing missing or twice in between. The output stands
 * still while the log is read up to exactly where it stood.
 */
import type { Connection } from '#api/jobs/streams.ts';
import type { LogReader } from '#logger/json-file/read.ts';
import type { LogTarget } from '#logger/log-target.ts';
import type { Attachment, ProcessOutput, Selection } from './pump.ts';

export interface ReplayRequest extends Selection {
  readonly connection: Connection;
  readonly output: ProcessOutput;
  readonly log: LogTarget;
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
        path: log.path,
        maxFiles: log.maxFiles,
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
