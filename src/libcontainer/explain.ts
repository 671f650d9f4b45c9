/**
 * Why a program of calls did not reach its execve, in the words that Docker's clients match: the docker CLI takes its exit
 * status from them (`executable file not found`, `no such file or directory` → 127, `permission denied` → 126). So those
 * words stand only for the user's own program and working directory; every other step is told by name and errno.
 */
import { BerthError, type ErrorKind } from '#errdefs/errors.ts';
import type { StepFailure } from '#sys/program.ts';

export type StartExitCode = 125 | 126 | 127;

/** A start or exec that failed. */
export class StartError extends BerthError {
  readonly exitCode: StartExitCode;

  constructor(kind: ErrorKind, exitCode: StartExitCode, message: string, options?: { readonly cause?: unknown }) {
    super(kind, message, options);
    this.name = 'StartError';
    this.exitCode = exitCode;
  }
}

/** What the child told, as `#sys/zygote` collects it. */
export interface ProgramOutcome {
  readonly failed?: StepFailure;
  readonly notes: readonly StepFailure[];
}

/** Names of the steps whose failure is the user's. */
export const EXECVE = 'execve';
export const SEARCH = 'search through PATH';
export const WORKING_DIRECTORY = 'open working directory';

const texts: Readonly<Record<string, string>> = {
  EPERM: 'operation not permitted',
  ENOENT: 'no such file or directory',
  E2BIG: 'argument list too long',
  ENOEXEC: 'exec format error',
  ENOMEM: 'cannot allocate memory',
  EACCES: 'permission denied',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EINVAL: 'invalid argument',
  ETXTBSY: 'text file busy',
  ENAMETOOLONG: 'file name too long',
  ELOOP: 'too many levels of symbolic links',
  EIO: 'input/output error',
};

export const errnoText = (code: string): string => texts[code] ?? code;

export interface Explained {
  /** process.args[0] */
  readonly program: string;
  readonly cwd: string;
}

/** Preconditions: `outcome.failed` is set. */
export function explainFailure(outcome: ProgramOutcome, about: Explained): StartError {
  const { failed, notes } = outcome;
  if (failed === undefined) return new StartError('system', 125, 'The container ended before its program was started');
  if (failed.step === SEARCH) return explainSearch(notes, about.program);
  if (failed.step === EXECVE) return explainExecve(failed.code, about.program);
  if (failed.step === WORKING_DIRECTORY) return explainDirectory(failed.code, about.cwd);
  if (failed.errno === 0)
    return new StartError('cancelled', 125, `The start was given up at its gate "${failed.step}"`);
  const where = failed.path === undefined || failed.step.includes(failed.path) ? '' : ` ("${failed.path}")`;
  return new StartError('system', 125, `Cannot start container: ${failed.step}${where}: ${failed.code}`);
}

function explainExecve(code: string, program: string): StartError {
  if (code === 'ENOENT')
    return new StartError('invalid-parameter', 127, `exec: "${program}": stat ${program}: no such file or directory`);
  return new StartError('invalid-parameter', 126, `exec: "${program}": ${errnoText(code)}`);
}

function explainSearch(notes: readonly StepFailure[], program: string): StartError {
  // As execvp(3): a file that is there and may not be executed weighs more than one that is not there.
  const codes = notes.filter((note) => note.step === EXECVE).map((note) => note.code);
  const missing = ['ENOENT', 'ENOTDIR'];
  const code = codes.find((c) => !missing.includes(c) && c !== 'EACCES') ?? codes.find((c) => c === 'EACCES');
  if (code === undefined)
    return new StartError('invalid-parameter', 127, `exec: "${program}": executable file not found in $PATH`);
  return new StartError('invalid-parameter', 126, `exec: "${program}": ${errnoText(code)}`);
}

function explainDirectory(code: string, cwd: string): StartError {
  const exitCode = code === 'ENOENT' ? 127 : 126;
  const why = code === 'ELOOP' ? 'it leads out of the container' : errnoText(code);
  return new StartError('invalid-parameter', exitCode, `chdir to cwd ("${cwd}") set in config.json failed: ${why}`);
}
