/**
 * Exit codes of `run`, `start -a` and `attach`: the container's own, or docker's 125 (the engine failed), 126 (cannot be
 * executed) and 127 (not found) of a start that did not come to be.
 */
import type { ContainerWaitResponse } from '#api/types/container.ts';
import { ExitError, PROGRAM } from '../command.ts';
import { describeFailure } from '../failure.ts';

const EXIT_ENGINE = 125;
const EXIT_NOT_EXECUTABLE = 126;
const EXIT_NOT_FOUND = 127;

/** The words are the only thing that the API has for it: dockerd answers all of them alike. */
export function exitCodeOfStartFailure(error: unknown): number {
  const text = error instanceof Error ? error.message : '';
  if (/executable file not found|no such file or directory|system cannot find the file specified/.test(text)) {
    return EXIT_NOT_FOUND;
  }
  return /permission denied|not a directory|is a directory/.test(text) ? EXIT_NOT_EXECUTABLE : EXIT_ENGINE;
}

/** As `docker run` says it. */
export function runFailure(error: unknown, path: string, code: number = EXIT_ENGINE): ExitError {
  if (error instanceof ExitError) return error;
  const hint = `Run '${PROGRAM} ${path} --help' for more information`;
  return new ExitError(code, `${PROGRAM}: ${describeFailure(error)}\n\n${hint}`);
}

export async function exitCodeOf(exit: Promise<ContainerWaitResponse>): Promise<number> {
  const { StatusCode, Error: failure } = await exit;
  if (failure?.Message !== undefined && failure.Message !== '') {
    throw new ExitError(EXIT_ENGINE, `Error waiting for container: ${failure.Message}`);
  }
  return StatusCode;
}
