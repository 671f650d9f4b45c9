/** What a runtime says when it fails: the last error of its JSON log, and the exit code that Docker's words ask for. */
import { existsSync, readFileSync } from 'node:fs';
import { StartError, type StartExitCode } from '#libcontainer/explain.ts';

const LOG_BYTES_MAX = 1 << 20;

/** Message of the last error in the text of a log; undefined when it has none. */
export function lastError(text: string): string | undefined {
  for (const line of text.split('\n').reverse()) {
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry !== 'object' || entry === null || !('msg' in entry) || !('level' in entry)) continue;
      if (entry.level === 'error' && typeof entry.msg === 'string') return entry.msg;
    } catch {
      // Not JSON: something that the runtime printed beside its log.
    }
  }
  return undefined;
}

/** The same words by which dockerd decides. */
export function exitCodeFor(message: string): StartExitCode {
  if (/executable file .*not found|no such file or directory|system cannot find the file/i.test(message)) return 127;
  return /permission denied|is a directory|exec format error/i.test(message) ? 126 : 125;
}

export function runtimeFailure(runtime: string, verb: string, log: string): StartError {
  const text = existsSync(log) ? readFileSync(log, 'utf8').slice(-LOG_BYTES_MAX) : '';
  const message = lastError(text) ?? `${runtime} ${verb} failed without a word`;
  const exitCode = exitCodeFor(message);
  const kind = exitCode === 125 ? 'system' : 'invalid-parameter';
  return new StartError(kind, exitCode, `OCI runtime ${verb} failed: ${message}`);
}
