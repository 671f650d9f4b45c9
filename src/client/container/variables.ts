/** Environment variables and labels from flags and files, by docker's rules. */
import { messageOf } from '#errdefs/errors.ts';
import { readText } from '../files.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** For `-e`: a name is needed. */
export function checkVariable(text: string): string {
  if (text === '' || text.startsWith('=')) throw new Error(`invalid environment variable: ${text}`);
  return text;
}

/** Files first, then flags; a bare NAME takes the value it has here, and is passed bare when it has none. */
export function readVariables(files: readonly string[], flags: readonly string[], environment: Environment): string[] {
  const fromFiles = files.flatMap((path) =>
    linesOf(path).flatMap((line) => {
      const own = environment[line];
      if (line.includes('=')) return [line];
      return own === undefined ? [] : [`${line}=${own}`];
    }),
  );
  const fromFlags = flags.map((text) => {
    const own = environment[text];
    return text.includes('=') || own === undefined ? text : `${text}=${own}`;
  });
  return [...fromFiles, ...fromFlags];
}

export function readLabels(files: readonly string[], flags: readonly string[]): Record<string, string> {
  return toRecord([...files.flatMap((path) => linesOf(path)), ...flags]);
}

/** `key=value` texts; a bare key has an empty value. */
export function toRecord(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf('=');
      return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}

function linesOf(path: string): string[] {
  let content: string;
  try {
    content = readText(path);
  } catch (error) {
    const message = messageOf(error);
    throw message.startsWith('open ') ? error : new Error(`invalid env file (${path}): ${message}`, { cause: error });
  }
  const lines = content.replace(/^\uFEFF/, '').split(/\r?\n/);
  return lines.flatMap((raw) => {
    const line = raw.trimStart();
    if (line === '' || line.startsWith('#')) return [];
    const name = line.split('=', 1)[0] ?? '';
    if (name === '') throw new Error(`invalid env file (${path}): no variable name on line '${line}'`);
    if (/\s/.test(name)) throw new Error(`invalid env file (${path}): variable '${name}' contains whitespaces`);
    return [line];
  });
}

/** For an update: null takes away. */
export function changes(set: readonly string[], unset: readonly string[]): Record<string, string | null> | undefined {
  if (set.length === 0 && unset.length === 0) return undefined;
  return { ...Object.fromEntries(unset.map((key) => [key, null])), ...toRecord(set) };
}
