/** Why a build failed, in BuildKit's words and with the lines that it is about, as clients show them. */
import { CommandFailed } from '#builder/errors.ts';
import { DockerfileError, type SourceFile, type SourceRange } from '#builder/dockerfile/source.ts';
import { BerthError, cancelled, invalidParameter, kindOf, messageOf } from '#errdefs/errors.ts';
import { StatusError, UNKNOWN } from '#pkg/grpc/status.ts';

export interface Place {
  readonly source: SourceFile;
  readonly range: SourceRange;
}

class BuildFailure extends BerthError {
  readonly place: Place | undefined;

  constructor(cause: unknown, place: Place | undefined) {
    super(kindOf(cause), wordsOf(cause), { cause });
    this.place = place;
  }
}

const wordsOf = (error: unknown): string => (error instanceof CommandFailed ? error.asProcess : messageOf(error));

/** `place`: of the step that failed; a mistake in the file has its own. */
export function buildFailure(error: unknown, place: Place | undefined): BerthError {
  if (kindOf(error) === 'cancelled') return cancelled('context canceled', { cause: error });
  const own = error instanceof DockerfileError ? { source: error.source, range: error.problem.range } : place;
  return new BuildFailure(error, own);
}

/** For clients that show nothing but the message: mistakes in the file go with their lines. */
export function withExcerpt(error: unknown): unknown {
  if (!(error instanceof BuildFailure && error.cause instanceof DockerfileError)) return error;
  return invalidParameter(`${error.cause.excerpt()}${error.message}`, { cause: error });
}

/** For clients of the control API: BuildKit's kinds of failures say nothing, but its details do. */
export function asStatus(error: unknown): unknown {
  if (error instanceof StatusError) return error;
  const kind = kindOf(error);
  // What is not there is told apart by clients; a build that was given up, too.
  if (kind === 'cancelled') return error;
  const status = { code: UNKNOWN, message: messageOf(error) };
  if (!(error instanceof BuildFailure) || error.place === undefined) return new StatusError(status, { cause: error });
  const { source, range } = error.place;
  const value = {
    info: { filename: source.name, data: Buffer.from(source.text).toString('base64'), language: 'Dockerfile' },
    ranges: [{ start: { line: range.start.line }, end: { line: range.end.line } }],
  };
  const detail = { url: 'github.com/moby/buildkit/errdefs.Source+json', value: Buffer.from(JSON.stringify(value)) };
  return new StatusError({ ...status, details: [detail] }, { cause: error });
}
