/**
 * Variables in instructions, by the environment that they see. Which fields take variables is BuildKit's: paths, keys,
 * values, users, signals; never the commands of RUN, CMD, ENTRYPOINT and HEALTHCHECK, which a shell expands.
 */
import { heredocText } from './heredoc.ts';
import type { Dockerfile, InlineFile, Instruction, Pair, RunInstruction } from './instructions.ts';
import { type Environment, Lexer } from './lexer.ts';
import { parseMount, type RunMount } from './mount.ts';
import { DockerfileError, Fault, type SourceRange } from './source.ts';

export interface Expanded<T> {
  readonly value: T;
  /** Variables that were used and are not set. */
  readonly unset: ReadonlySet<string>;
}

/** Expands with one environment, and collects what was not set. */
export class Expander {
  readonly unset = new Set<string>();
  readonly #lexer: Lexer;
  readonly #env: Environment;

  constructor(escape: '\\' | '`', env: Environment) {
    this.#lexer = new Lexer({ escape });
    this.#env = env;
  }

  word(text: string): string {
    return this.#expand(this.#lexer, text).word;
  }

  words(texts: readonly string[]): readonly string[] {
    return texts.flatMap((text) => this.#expand(this.#lexer, text).words);
  }

  /** A heredoc: quotes are text, and the escape is always a backslash. */
  content(text: string): string {
    return this.#expand(new Lexer({ literalQuotes: true }), text).word;
  }

  #expand(lexer: Lexer, text: string) {
    const expansion = lexer.expand(text, this.#env);
    for (const name of expansion.unset) this.unset.add(name);
    return expansion;
  }
}

/** The instruction with its variables replaced. Throws a DockerfileError. */
export function expandInstruction<T extends Instruction>(
  file: Dockerfile,
  instruction: T,
  env: Environment,
): Expanded<T> {
  const expander = new Expander(file.escape, env);
  const expanded = located(file, instruction.range, () => fieldsOf(instruction, expander));
  // fieldsOf returns a part of the very type that it was given.
  return { value: { ...instruction, ...(expanded as Partial<T>) }, unset: expander.unset };
}

/** A line as people see it: with the values of the variables that are set. */
export function shownText({ escape }: Dockerfile, text: string, { environment }: { environment: Environment }): string {
  try {
    return new Lexer({ escape, rawQuotes: true, keepUnset: true }).word(text, environment);
  } catch (error) {
    // What a shell may well understand.
    if (error instanceof Fault) return text;
    throw error;
  }
}

/** The mounts of a RUN. Throws a DockerfileError. */
export function mountsOf(file: Dockerfile, run: RunInstruction, env: Environment): Expanded<readonly RunMount[]> {
  const expander = new Expander(file.escape, env);
  const value = run.mounts.map((mount) =>
    located(file, mount.range, () => parseMount(mount.value, (text) => expander.word(text))),
  );
  return { value, unset: expander.unset };
}

/** Turns a Fault into an error with its place. */
export function located<T>(file: Dockerfile, range: SourceRange, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const suggestion = error.suggestion === undefined ? {} : { suggestion: error.suggestion };
    throw new DockerfileError(file.source, { message: error.message, range, ...suggestion });
  }
}

function fieldsOf(instruction: Instruction, expander: Expander): Partial<Instruction> {
  switch (instruction.keyword) {
    case 'ADD':
    case 'COPY':
      return {
        sources: instruction.sources.map((source) => expander.word(source)),
        contents: instruction.contents.map((content) => expandContent(content, expander)),
        destination: expander.word(instruction.destination),
        chown: optional(expander, instruction.chown),
        chmod: optional(expander, instruction.chmod),
        exclude: instruction.exclude.map((pattern) => expander.word(pattern)),
        ...(instruction.keyword === 'ADD' ? { checksum: optional(expander, instruction.checksum) } : {}),
      };
    case 'ENV':
    case 'LABEL':
      return { pairs: instruction.pairs.map((pair) => expandPair(pair, expander)) };
    case 'ARG':
      return {
        args: instruction.args.map((arg) => ({
          ...arg,
          name: expander.word(arg.name),
          value: optional(expander, arg.value),
        })),
      };
    case 'EXPOSE':
      return { ports: expander.words(instruction.ports) };
    case 'VOLUME':
      return { paths: instruction.paths.map((path) => expander.word(path)) };
    case 'USER':
      return { user: expander.word(instruction.user) };
    case 'WORKDIR':
      return { path: expander.word(instruction.path) };
    case 'STOPSIGNAL':
      return { signal: expander.word(instruction.signal) };
    case 'FROM':
      return { base: expander.word(instruction.base), platform: optional(expander, instruction.platform) };
    case 'CMD':
    case 'ENTRYPOINT':
    case 'HEALTHCHECK':
    case 'MAINTAINER':
    case 'ONBUILD':
    case 'RUN':
    case 'SHELL':
      return {};
    default:
      return instruction satisfies never;
  }
}

const optional = (expander: Expander, text: string | undefined) =>
  text === undefined ? undefined : expander.word(text);

const expandPair = (pair: Pair, expander: Expander): Pair => ({
  ...pair,
  name: expander.word(pair.name),
  value: expander.word(pair.value),
});

const expandContent = (content: InlineFile, expander: Expander): InlineFile =>
  content.expand ? { ...content, content: expander.content(content.content) } : content;

/** What a RUN with heredocs does. */
export type RunScript =
  /** A lone heredoc that starts with `#!`: a file to execute, mode 0755, mounted at /dev/pipes. */
  | { readonly kind: 'file'; readonly name: string; readonly content: string }
  /** For the shell. */
  | { readonly kind: 'shell'; readonly text: string };

/** Undefined for a RUN in exec form. */
export function scriptOf(run: RunInstruction): RunScript | undefined {
  const [text] = run.command.args;
  if (run.command.form === 'exec' || text === undefined) return undefined;
  const [first] = run.heredocs;
  if (first === undefined) return { kind: 'shell', text };
  if (/^\d*<<-?\S+$/.test(text.trim())) {
    const content = heredocText(first);
    return content.startsWith('#!') ? { kind: 'file', name: first.name, content } : { kind: 'shell', text: content };
  }
  const whole = run.heredocs.map(({ content, name }) => `\n${content}${name}`).join('');
  return { kind: 'shell', text: text + whole };
}
