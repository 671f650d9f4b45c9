/**
 * The context that a build sends: only files that the Dockerfile names and the ignore file leaves, read while they are
 * sent. Directories that are ignored are not looked into.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { contextSources, planBuild } from '#builder/dockerfile/plan.ts';
import { IgnoreMatcher, ignoreFileNames, ignorePatterns } from '#builder/dockerfile/ignore.ts';
import { requireDockerfile } from '#builder/dockerfile/parse.ts';
import type { ByteString } from '#pkg/archive/entry.ts';
import { type ContextFiles, type ContextPart, ContextSender } from './send-context.ts';
import type { Account, SentFile } from './sent-account.ts';

const DOCKERFILE = '.berth-dockerfile';
const CONTEXTS = '.berth-contexts';

export interface ContextRequest {
  /** Directory; '' for none. */
  readonly directory: string;
  /** `-f`; '' is the context's Dockerfile, `-` was read from stdin into `text`. */
  readonly file: string;
  readonly text: string | undefined;
  readonly target: string;
  /** Name → directory. */
  readonly named: ReadonlyMap<string, string>;
  /** Names that are images: not looked for in the Dockerfile's stages. */
  readonly images: readonly string[];
}

export interface PackedContext {
  /** For the `dockerfile` of the request. */
  readonly dockerfile: string;
  readonly source: { readonly name: string; readonly text: string };
  /** Lines of its ignore file. */
  readonly ignore: readonly string[];
  /** Where it comes from, which is what an account of what was sent goes by. */
  readonly directories: readonly string[];
  /** What `account` has not, or all of it. `sent`: the account afterwards, once all has been read. */
  stream(account: Account | undefined, count: (bytes: number) => void): SentContext;
}

export interface SentContext {
  readonly body: ReadableStream<Uint8Array>;
  readonly sent: ReadonlyMap<ByteString, SentFile>;
}

/** Throws docker's words when a file is not there. */
export function packContext(request: ContextRequest): PackedContext {
  const { directory } = request;
  if (directory !== '' && fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new Error(`unable to prepare context: path "${directory}" not found`);
  }
  const found = dockerfileOf(request);
  const ignore = ignoreOf(request, found);
  const file = requireDockerfile({ name: found.shown, text: found.text });
  const names = new Map<string, unknown>([...request.named.keys(), ...request.images].map((name) => [name, undefined]));
  const sources = contextSources(planBuild(file, { target: request.target, named: names }));
  return {
    dockerfile: found.inside ?? DOCKERFILE,
    source: { name: found.shown, text: found.text },
    ignore,
    directories: [directory, ...request.named.values()].map((name) => (name === '' ? '' : path.resolve(name))),
    stream: (account, count) => {
      const sender = new ContextSender(filesOf(request, found, new IgnoreMatcher(ignore), ignore, sources), account);
      return { body: streamOf(sender.pieces(), count), sent: sender.sent };
    },
  };
}

interface FoundDockerfile {
  readonly text: string;
  readonly shown: string;
  /** Path in the context; undefined when it lies elsewhere. */
  readonly inside: string | undefined;
  /** Where it lies; undefined for stdin. */
  readonly outside: string | undefined;
}

function dockerfileOf({ directory, file, text }: ContextRequest): FoundDockerfile {
  if (text !== undefined) return { text, shown: 'Dockerfile', inside: undefined, outside: undefined };
  let full = file === '' ? path.join(directory, 'Dockerfile') : path.resolve(file);
  if (file === '' && !fs.existsSync(full) && fs.existsSync(path.join(directory, 'dockerfile'))) {
    full = path.join(directory, 'dockerfile');
  }
  let content: string;
  try {
    content = fs.readFileSync(full, 'utf8');
  } catch {
    throw new Error(`failed to read dockerfile: open ${full}: no such file or directory`);
  }
  const relative = path.relative(path.resolve(directory), path.resolve(full));
  const isInside = relative !== '' && !relative.startsWith('..') && !path.isAbsolute(relative);
  return {
    text: content,
    shown: isInside ? relative : path.basename(full),
    inside: isInside ? relative : undefined,
    outside: full,
  };
}

function ignoreOf({ directory }: ContextRequest, { outside }: FoundDockerfile): readonly string[] {
  const [own = '', common = ''] = ignoreFileNames(outside ?? '');
  for (const name of [...(outside === undefined ? [] : [own]), path.join(directory, common)]) {
    if (directory !== '' && fs.existsSync(name)) return ignorePatterns(fs.readFileSync(name, 'utf8'));
  }
  return [];
}

function filesOf(
  request: ContextRequest,
  dockerfile: FoundDockerfile,
  ignore: IgnoreMatcher,
  lines: readonly string[],
  sources: readonly string[] | undefined,
): ContextFiles {
  const isOutside = dockerfile.inside === undefined;
  const texts: [string, string][] = isOutside
    ? [
        [DOCKERFILE, dockerfile.text],
        [`${DOCKERFILE}.dockerignore`, `${lines.join('\n')}\n`],
      ]
    : [];
  const parts = [...request.named].map(([name, directory]): ContextPart => {
    const own = fs.existsSync(path.join(directory, '.dockerignore'))
      ? IgnoreMatcher.parse(fs.readFileSync(path.join(directory, '.dockerignore'), 'utf8'))
      : new IgnoreMatcher([]);
    return { directory, prefix: `${CONTEXTS}/${encodeURIComponent(name)}/`, filter: new Filter(own, undefined) };
  });
  if (request.directory !== '') {
    const always = new Set(
      dockerfile.inside === undefined ? [] : [dockerfile.inside, ...ignoreFileNames(dockerfile.inside)],
    );
    const all = sources === undefined || sources.some((source) => leadsElsewhere(request.directory, source));
    const wanted = all || sources === undefined ? undefined : { sources, always };
    parts.push({ directory: request.directory, prefix: '', filter: new Filter(ignore, wanted) });
  }
  return { texts, parts };
}

/** A link on the way of a source, or among what its pattern may find: what it leads to is wanted, too. */
function leadsElsewhere(directory: string, source: string): boolean {
  if (/^https?:\/\//.test(source)) return false;
  const prefix = literalPrefix(source);
  const names = prefix.split('/');
  for (let length = 1; length <= names.length; length++) {
    const status = fs.lstatSync(path.join(directory, ...names.slice(0, length)), { throwIfNoEntry: false });
    if (status === undefined) return false;
    if (status.isSymbolicLink()) return true;
  }
  if (!/[*?[\\]/.test(source)) return false;
  const inside = path.join(directory, prefix);
  if (fs.statSync(inside, { throwIfNoEntry: false })?.isDirectory() !== true) return false;
  return fs.readdirSync(inside, { withFileTypes: true }).some((entry) => entry.isSymbolicLink());
}

interface Wanted {
  readonly sources: readonly string[];
  readonly always: ReadonlySet<string>;
}

/** What is sent: not ignored, and named by the Dockerfile or below or above what is. */
class Filter {
  readonly #ignore: IgnoreMatcher;
  readonly #always: ReadonlySet<string>;
  /** The part of each source before its first pattern; undefined: everything. */
  readonly #prefixes: readonly string[] | undefined;
  readonly #states = new Map<string, ReturnType<IgnoreMatcher['child']>>();

  constructor(ignore: IgnoreMatcher, wanted: Wanted | undefined) {
    this.#ignore = ignore;
    this.#always = wanted?.always ?? new Set();
    const prefixes = wanted?.sources.filter((source) => !/^https?:\/\//.test(source)).map(literalPrefix);
    this.#prefixes = prefixes === undefined || prefixes.includes('') ? undefined : prefixes;
  }

  wants(name: string): boolean {
    if (this.#prefixes === undefined && this.#ignore.empty) return true;
    if (name === '' || this.#always.has(name)) return true;
    if (!this.#isNamed(name)) return false;
    const slash = name.lastIndexOf('/');
    const parent = slash < 0 ? this.#ignore.root : this.#state(name.slice(0, slash));
    // Of files nothing is remembered.
    return !this.#ignore.child(parent, name.slice(slash + 1)).ignored;
  }

  enters(name: string): boolean {
    if (name === '') return true;
    for (const kept of this.#always) if (kept.startsWith(`${name}/`)) return true;
    return this.#isNamed(name) && this.#ignore.enters(this.#state(name));
  }

  #isNamed(name: string): boolean {
    if (this.#prefixes === undefined) return true;
    return this.#prefixes.some(
      (prefix) => name === prefix || name.startsWith(`${prefix}/`) || prefix.startsWith(`${name}/`),
    );
  }

  #state(name: string): ReturnType<IgnoreMatcher['child']> {
    let state = this.#states.get(name);
    if (state === undefined) {
      const slash = name.lastIndexOf('/');
      const parent = slash < 0 ? this.#ignore.root : this.#state(name.slice(0, slash));
      state = this.#ignore.child(parent, name.slice(slash + 1));
      this.#states.set(name, state);
    }
    return state;
  }
}

/** Of `src/lib/*.c` it is `src/lib`. */
function literalPrefix(source: string): string {
  const names: string[] = [];
  for (const name of source.split('/')) {
    if (name === '' || name === '.') continue;
    if (name === '..') names.pop();
    else if (/[*?[\\]/.test(name)) break;
    else names.push(name);
  }
  return names.join('/');
}

function streamOf(source: Generator<Uint8Array>, count: (bytes: number) => void): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      try {
        const next = source.next();
        if (next.done === true) {
          controller.close();
          return;
        }
        count(next.value.length);
        controller.enqueue(next.value);
      } catch (error) {
        controller.error(error);
      }
    },
    cancel: () => void source.return(undefined),
  });
}
