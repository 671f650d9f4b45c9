/**
 * The `tag` option: text with Go template actions over the container's facts. Fields, methods and functions are those
 * that Docker's drivers have for it, with pipes; every other action of the language is refused by name, at create.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { hostname } from 'node:os';
import type { LogSubject } from './subject.ts';

type Value = string | readonly string[] | Readonly<Record<string, string>>;

function fieldsOf(subject: LogSubject): Readonly<Record<string, Value>> {
  const [entrypoint = '', ...args] = subject.command;
  return {
    ID: subject.containerId.slice(0, 12),
    FullID: subject.containerId,
    Name: subject.containerName,
    ImageID: subject.imageId.replace(/^sha256:/, '').slice(0, 12),
    ImageFullID: subject.imageId,
    ImageName: subject.imageName,
    Command: subject.command.join(' '),
    Hostname: hostname(),
    DaemonName: subject.daemonName,
    ContainerID: subject.containerId,
    ContainerName: `/${subject.containerName}`,
    ContainerImageID: subject.imageId,
    ContainerImageName: subject.imageName,
    ContainerEntrypoint: entrypoint,
    ContainerArgs: args,
    ContainerEnv: subject.env,
    ContainerLabels: subject.labels,
  };
}

/** The last argument is what a pipe hands on. */
const functions: Readonly<Record<string, (...args: Value[]) => Value>> = {
  lower: (value = '') => printed(value).toLowerCase(),
  upper: (value = '') => printed(value).toUpperCase(),
  title: (value = '') => printed(value).replaceAll(/(^|\s)\S/g, (first) => first.toUpperCase()),
  json: (value = '') => JSON.stringify(value),
  print: (...values) => values.map(printed).join(''),
  split: (value = '', separator = '') => printed(value).split(printed(separator)),
  join: (list = [], separator = '') => (Array.isArray(list) ? list.join(printed(separator)) : printed(list)),
  truncate: (value = '', length = '0') =>
    Array.from(printed(value))
      .slice(0, Number(printed(length)))
      .join(''),
  pad: (value = '', before = '0', after = '0') =>
    ' '.repeat(Number(printed(before))) + printed(value) + ' '.repeat(Number(printed(after))),
  index: (from = {}, key = '') => {
    const found = Object.entries(from).find(([name]) => name === printed(key));
    return typeof from === 'string' ? '' : (found?.[1] ?? '');
  },
};

function printed(value: Value): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.join(' ')}]`;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${entries.map(([name, text]) => `${name}:${text}`).join(' ')}]`;
}

/** Errors: invalid-parameter, naming the action that is not known. */
export function expandTag(tag: string, subject: LogSubject): string {
  if (!tag.includes('{{')) return tag;
  const fields = fieldsOf(subject);
  return tag.replaceAll(/\{\{-?\s*(.*?)\s*-?\}\}/g, (_, action: string) => printed(evaluate(action, fields)));
}

const WORD = /"(?:[^"\\]|\\.)*"|`[^`]*`|[^\s|()"`]+|[|()]/g;

function evaluate(action: string, fields: Readonly<Record<string, Value>>): Value {
  const refuse = () => invalidParameter(`log opt "tag" does not know {{${action}}}`);
  const words = action.match(WORD) ?? [];
  if (words.join('') !== action.replaceAll(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/g, '')) throw refuse();
  let at = 0;
  const operand = (): Value => {
    const word = words[at++] ?? '';
    if (word === '(') {
      const inner = pipeline();
      if (words[at++] !== ')') throw refuse();
      return inner;
    }
    if (word.startsWith('"')) return unquoted(word, refuse);
    if (word.startsWith('`')) return word.slice(1, -1);
    if (/^-?\d+$/.test(word)) return word;
    const field = word.startsWith('.') ? fields[word.slice(1)] : undefined;
    const nested = field ?? ofMap(word, fields);
    if (nested === undefined) throw refuse();
    return nested;
  };
  const command = (piped: readonly Value[]): Value => {
    const known = functions[words[at] ?? ''];
    if (known === undefined) {
      if (piped.length > 0) throw refuse();
      return operand();
    }
    at++;
    const args: Value[] = [];
    while (at < words.length && words[at] !== '|' && words[at] !== ')') args.push(operand());
    return known(...args, ...piped);
  };
  const pipeline = (): Value => {
    let value = command([]);
    while (words[at] === '|') {
      at++;
      value = command([value]);
    }
    return value;
  };
  const value = pipeline();
  if (at < words.length) throw refuse();
  return value;
}

/** `.ContainerLabels.name`. */
function ofMap(word: string, fields: Readonly<Record<string, Value>>): Value | undefined {
  const match = /^\.ContainerLabels\.(\w+)$/.exec(word);
  const labels = fields['ContainerLabels'];
  if (match === null || typeof labels !== 'object' || Array.isArray(labels)) return undefined;
  return Object.entries(labels).find(([name]) => name === match[1])?.[1] ?? '<no value>';
}

function unquoted(word: string, refuse: () => Error): string {
  try {
    return String(JSON.parse(word));
  } catch {
    throw refuse();
  }
}
