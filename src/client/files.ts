/** Files that a flag names; failures are worded as docker's client words them. */
import { messageOf } from '#errdefs/errors.ts';
import { nodeFs } from './node-modules.ts';

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EEXIST: 'file exists',
  EISDIR: 'is a directory',
  ENOTDIR: 'not a directory',
  ELOOP: 'too many levels of symbolic links',
};

/** `open NAME: no such file or directory`. */
export function fileFailure(verb: 'open' | 'read', name: string, error: unknown): Error {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const opened = code === 'EISDIR' ? 'read' : verb;
  return new Error(`${opened} ${name}: ${WORDS[code] ?? messageOf(error)}`, { cause: error });
}

export function readText(name: string): string {
  try {
    return nodeFs().readFileSync(name, 'utf8');
  } catch (error) {
    throw fileFailure('open', name, error);
  }
}
