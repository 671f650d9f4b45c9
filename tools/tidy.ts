/**
 * What a machine can check of docs and style and no linter knows: layers, the doors (FFI, SQLite, processes), sizes,
 * names, dead files, links in documents. Each rule returns sentences that name the file; `tidy.test.ts` wants none.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { parseSync } from 'oxc-parser';
import { importProblem } from './layers.ts';

export const root = path.resolve(import.meta.dirname, '..');

export interface SourceFile {
  /** Relative to the root: 'src/engine/engine.ts'. */
  readonly path: string;
  readonly text: string;
  /** Module specifiers as written, type-only ones included, dynamic ones with a literal too. */
  readonly imports: readonly string[];
}

function walk(directory: string, into: string[]): void {
  for (const entry of fs.readdirSync(path.join(root, directory), { withFileTypes: true })) {
    const name = path.join(directory, entry.name);
    if (entry.name === 'node_modules') continue;
    if (entry.isDirectory()) walk(name, into);
    else if (/\.(ts|mjs)$/.test(entry.name)) into.push(name);
  }
}

export function sourceFiles(): SourceFile[] {
  const paths: string[] = [];
  for (const directory of ['src', 'test', 'tools'])
    if (fs.existsSync(path.join(root, directory))) walk(directory, paths);
  return paths.sort().map((file) => {
    const text = fs.readFileSync(path.join(root, file), 'utf8');
    const { module } = parseSync(file, text);
    const dynamic = module.dynamicImports
      .map((d) => text.slice(d.moduleRequest.start, d.moduleRequest.end))
      .filter((t) => /^['"]/.test(t))
      .map((t) => t.slice(1, -1));
    return {
      path: file,
      text,
      imports: [...module.staticImports.map((i) => i.moduleRequest.value), ...reexports(module), ...dynamic],
    };
  });
}

function reexports(module: ReturnType<typeof parseSync>['module']): string[] {
  return module.staticExports.flatMap((e) =>
    e.entries.flatMap((x) => (x.moduleRequest === null ? [] : [x.moduleRequest.value])),
  );
}

/** The imported file relative to src, or undefined for packages and built-ins. */
function targetOf(file: SourceFile, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1);
  if (!specifier.startsWith('.')) return undefined;
  const absolute = path.join(path.dirname(file.path), specifier);
  return absolute.startsWith('src/') ? absolute.slice(4) : undefined;
}

const isTest = (file: string) => /\.test\.ts$|\/testing\//.test(file);

export function layerProblems(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    if (!file.path.startsWith('src/') || isTest(file.path)) continue;
    for (const specifier of file.imports) {
      const target = targetOf(file, specifier);
      if (target === undefined) continue;
      const problem = importProblem(file.path.slice(4), target);
      if (problem !== undefined) problems.push(`${file.path}: ${problem}`);
    }
  }
  return problems;
}

/** Circles of imports of any length, type-only ones included: `a → b → a`. */
export function cycleProblems(files: readonly SourceFile[]): string[] {
  const edges = new Map<string, string[]>();
  for (const file of files) {
    if (!file.path.startsWith('src/')) continue;
    const targets = file.imports.map((s) => targetOf(file, s)).filter((t) => t !== undefined);
    edges.set(file.path.slice(4), targets);
  }
  const done = new Set<string>();
  const problems: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const at = path.indexOf(file);
    if (at >= 0) problems.push([...path.slice(at), file].join(' → '));
    if (at >= 0 || done.has(file)) return;
    for (const target of edges.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) visit(file, []);
  return problems;
}

/** Modules that only some folders may touch, with what to use instead. */
const doors: readonly { module: RegExp; allowed: RegExp; instead: string }[] = [
  { module: /^bun:ffi$/, allowed: /^src\/sys\//, instead: 'a function of #sys' },
  { module: /^bun:sqlite$/, allowed: /^src\/graphdb\//, instead: '#graphdb/graphdb.ts' },
  {
    module: /^(node:)?child_process$/,
    allowed: /^(src\/sys\/|src\/execdriver\/|src\/pkg\/command\/|src\/client\/|src\/cmd\/|tools\/|test\/)/,
    instead: '#pkg/command',
  },
];

export function doorProblems(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    if (isTest(file.path)) continue;
    for (const specifier of file.imports)
      for (const door of doors)
        if (door.module.test(specifier) && !door.allowed.test(file.path))
          problems.push(`${file.path}: imports ${specifier}; use ${door.instead}`);
    if (
      /\bBun\.spawn/.test(file.text) &&
      !/^(src\/(sys|execdriver|client|cmd)\/|src\/pkg\/command\/|tools\/|test\/)/.test(file.path)
    )
      problems.push(`${file.path}: spawns a process; use #pkg/command`);
  }
  return problems;
}

const LINES_MAX = 500;

export function sizeProblems(files: readonly SourceFile[]): string[] {
  return files
    .map((f) => ({ path: f.path, lines: f.text.split('\n').length - 1 }))
    .filter((f) => f.lines > LINES_MAX)
    .map((f) => `${f.path}: ${f.lines} lines; the limit is ${LINES_MAX}: split by concept`);
}

/** `const p = ptr(x)` goes stale when the JIT tiers up (docs/internals/runtime.md): pass the object itself. */
export function textProblems(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    if (file.path.startsWith('tools/tidy')) continue;
    const rules: [RegExp, string][] = [
      [/^\s*(?:export )?(?:const )?enum\s+\w+\s*{/m, 'has an enum; use a union or an `as const` table'],
      [/@ts-(?:ignore|expect-error|nocheck)/, 'silences the type checker'],
      [/(?:ox|es)lint-disable/, 'silences the linter'],
      [/\bTODO\b(?!\(#\d+\))/, 'has a TODO without an issue'],
      [/=\s*ptr\(/, 'keeps a pointer of ptr(): pass the object in each call'],
    ];
    for (const [pattern, why] of rules) if (pattern.test(file.text)) problems.push(`${file.path}: ${why}`);
    if (!/^(?:[a-z0-9]+(?:-[a-z0-9]+)*)(?:\.[a-z0-9-]+)*\.(?:ts|mjs)$/.test(path.basename(file.path)))
      problems.push(`${file.path}: file names are kebab-case`);
    const longest = file.text.split('\n').findIndex((l) => l.length > 160);
    if (longest >= 0 && !/["'`]/.test(file.text.split('\n')[longest] ?? ''))
      problems.push(`${file.path}:${longest + 1}: line longer than 160 characters`);
  }
  return problems;
}

/** Links in Markdown to files of this repository must lead somewhere. */
export function linkProblems(): string[] {
  const problems: string[] = [];
  const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'];
  const collect = (directory: string): void => {
    for (const entry of fs.readdirSync(path.join(root, directory), { withFileTypes: true })) {
      const name = path.join(directory, entry.name);
      if (entry.isDirectory()) collect(name);
      else if (entry.name.endsWith('.md')) documents.push(name);
    }
  };
  if (fs.existsSync(path.join(root, 'docs'))) collect('docs');
  for (const document of documents) {
    if (!fs.existsSync(path.join(root, document))) {
      problems.push(`${document} is missing`);
      continue;
    }
    const text = fs.readFileSync(path.join(root, document), 'utf8');
    for (const match of text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      const target = match[1] ?? '';
      if (/^[a-z]+:/.test(target)) continue;
      if (!fs.existsSync(path.join(root, path.dirname(document), target)))
        problems.push(`${document}: dead link ${target}`);
    }
  }
  return problems;
}
