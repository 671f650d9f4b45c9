/**
 * What can be asked of a Dockerfile without building it: the arguments, secrets, agents and caches of a target, and the
 * targets there are. Fields, order and tables are those of BuildKit's frontend. Pure.
 */
import { expandInstruction, mountsOf } from './expand.ts';
import type { Dockerfile, Stage } from './instructions.ts';
import type { Environment } from './lexer.ts';
import { planBuild } from './plan.ts';
import { findStage, type GlobalScope, globalScope, resolveFrom, StageScope } from './scope.ts';
import type { SourceRange } from './source.ts';

export interface Location {
  readonly ranges: readonly { readonly start: { readonly line: number }; readonly end: { readonly line: number } }[];
}

export interface OutlineArg {
  readonly name: string;
  readonly description?: string;
  readonly value?: string;
  readonly location: Location;
}

export interface OutlineSecret {
  readonly name: string;
  readonly required?: true;
  readonly location: Location;
}

export interface Source {
  readonly filename: string;
  readonly language: 'Dockerfile';
  /** In base64. */
  readonly data: string;
}

export interface Outline {
  readonly name?: string;
  readonly description?: string;
  readonly args?: readonly OutlineArg[];
  readonly secrets?: readonly OutlineSecret[];
  readonly ssh?: readonly OutlineSecret[];
  readonly cache?: readonly { readonly id: string; readonly location: Location }[];
  readonly sources: readonly Source[];
}

export interface Target {
  readonly name?: string;
  readonly default?: true;
  readonly description?: string;
  readonly base?: string;
  readonly platform?: string;
  readonly location: Location;
}

export interface Targets {
  readonly targets: readonly Target[];
  readonly sources: readonly Source[];
}

export interface OutlineRequest {
  /** '' is the last stage. */
  readonly target: string;
  readonly buildArgs: Environment;
  readonly predefined: Environment;
}

const locationOf = ({ start, end }: SourceRange): Location => ({
  ranges: [{ start: { line: start.line }, end: { line: end.line } }],
});

/** A comment directly before that begins with the name, without it. */
function descriptionOf(comments: readonly string[], name: string | undefined): string | undefined {
  if (name === undefined || name === '') return undefined;
  return comments.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1);
}

const sourceOf = ({ source }: Dockerfile): Source => ({
  filename: source.name,
  language: 'Dockerfile',
  data: Buffer.from(source.text).toString('base64'),
});

/** Errors: invalid-parameter for a target that is not there; DockerfileError. */
export function outlineOf(file: Dockerfile, request: OutlineRequest): Outline {
  const { target, stages } = planBuild(file, { target: request.target, named: new Map() });
  const global = globalScope(file, request.buildArgs, request.predefined);
  const args = new Map<string, OutlineArg>();
  const secrets = new Map<string, OutlineSecret>();
  const ssh = new Map<string, OutlineSecret>();
  const cache = new Map<string, { readonly id: string; readonly location: Location }>();
  const scopes = new Map<number, StageScope>();
  collectGlobal(
    file,
    stages.map(({ stage }) => stage),
    global,
    args,
  );
  for (const { stage } of stages) {
    const { base } = resolveFrom(file, stage, global);
    const inherited = scopes.get(findStage(file, base, stage.index)?.index ?? -1);
    const scope = new StageScope(global, request.buildArgs, inherited?.imageEnvironment ?? new Map(), inherited);
    scopes.set(stage.index, scope);
    for (const written of stage.instructions) {
      const { value: instruction } = expandInstruction(file, written, scope.environment);
      if (instruction.keyword === 'ARG') {
        scope.declare(instruction);
        for (const { name } of instruction.args) {
          if (request.predefined.has(name)) continue;
          const value = scope.args.get(name);
          const description = descriptionOf(instruction.comments, name) ?? args.get(name)?.description;
          args.set(name, {
            name,
            ...(description === undefined ? {} : { description }),
            ...(value === undefined || value === '' ? {} : { value }),
            location: args.get(name)?.location ?? locationOf(instruction.range),
          });
        }
      }
      if (instruction.keyword === 'ENV') for (const { name, value } of instruction.pairs) scope.set(name, value);
      if (instruction.keyword !== 'RUN') continue;
      for (const { type, id, source, target: at, required } of mountsOf(file, instruction, scope.environment).value) {
        const location = locationOf(instruction.range);
        const entry = (name: string): OutlineSecret => ({ name, ...(required ? { required } : {}), location });
        if (type === 'secret') {
          const named = id ?? (source ?? at ?? '').split('/').at(-1) ?? '';
          if (required || !secrets.has(named)) secrets.set(named, entry(named));
        } else if (type === 'ssh') {
          const named = id ?? 'default';
          if (required || !ssh.has(named)) ssh.set(named, entry(named));
        } else if (type === 'cache') cache.set(id ?? at ?? '', { id: id ?? at ?? '', location });
      }
    }
  }
  const { stageWritten, comments } = target.from;
  const description = descriptionOf(comments, stageWritten);
  const line = ({ location }: { readonly location: Location }): number => location.ranges[0]?.start.line ?? 0;
  const list = <T extends { readonly location: Location }>(found: ReadonlyMap<string, T>): readonly T[] | undefined =>
    found.size === 0 ? undefined : [...found.values()].sort((a, b) => line(a) - line(b));
  return {
    ...(stageWritten === undefined ? {} : { name: stageWritten }),
    ...(description === undefined ? {} : { description }),
    ...present({ args: list(args), secrets: list(secrets), ssh: list(ssh), cache: list(cache) }),
    sources: [sourceOf(file)],
  };
}

function present<T extends Record<string, unknown>>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  // as: what is undefined was left out.
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Those before the first FROM, as far as a FROM or a stage uses them. */
function collectGlobal(
  file: Dockerfile,
  stages: readonly Stage[],
  global: GlobalScope,
  args: Map<string, OutlineArg>,
): void {
  const declared = new Set(
    stages.flatMap(({ instructions }) =>
      instructions.flatMap((entry) => (entry.keyword === 'ARG' ? entry.args.map(({ name }) => name) : [])),
    ),
  );
  const froms = stages.map(({ from }) => `${from.base} ${from.platform ?? ''}`).join(' ');
  for (const instruction of file.globalArgs) {
    for (const { name } of instruction.args) {
      const isUsed = declared.has(name) || new RegExp(`\\$\\{?${name}(?![A-Za-z0-9_])`).test(froms);
      if (!isUsed) continue;
      const value = global.values.get(name);
      const description = descriptionOf(instruction.comments, name);
      args.set(name, {
        name,
        ...(description === undefined ? {} : { description }),
        ...(value === undefined || value === '' ? {} : { value }),
        location: locationOf(instruction.range),
      });
    }
  }
}

/** Every stage that can be built by a name, and the last. Errors: DockerfileError. */
export function targetsOf(file: Dockerfile, request: OutlineRequest): Targets {
  const global = globalScope(file, request.buildArgs, request.predefined);
  const last = file.stages.at(-1);
  const wanted = request.target === '' ? last : findStage(file, request.target);
  const targets = file.stages.flatMap((stage): Target[] => {
    const { stageWritten, comments, range } = stage.from;
    if (stageWritten === undefined && stage !== wanted) return [];
    const { base, platform } = resolveFrom(file, stage, global);
    const description = descriptionOf(comments, stageWritten);
    return [
      {
        ...(stageWritten === undefined ? {} : { name: stageWritten }),
        ...(stage === wanted ? { default: true } : {}),
        ...(description === undefined ? {} : { description }),
        base,
        ...(platform === undefined ? {} : { platform }),
        location: locationOf(range),
      },
    ];
  });
  return { targets, sources: [sourceOf(file)] };
}

/** Columns with three blanks between, as Go's tabwriter sets them. */
function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries())
      if (i < row.length - 1) widths[i] = Math.max(widths[i] ?? 0, cell.length + 3);
  }
  return rows
    .map((row) => `${row.map((cell, i) => cell.padEnd(i < row.length - 1 ? (widths[i] ?? 0) : 0)).join('')}\n`)
    .join('');
}

/** What `docker build --call=outline` prints. */
export function formatOutline({ name, description, args = [], secrets = [], ssh = [] }: Outline): string {
  const parts: string[] = [];
  if (name !== undefined || description !== undefined) {
    parts.push(
      table([['TARGET:', name ?? 'default'], ...(description === undefined ? [] : [['DESCRIPTION:', description]])]),
    );
  }
  if (args.length > 0) {
    const rows = args.map((arg) => [arg.name, arg.value ?? '', arg.description ?? '']);
    parts.push(table([['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows]));
  }
  const needs = (title: string, entries: readonly OutlineSecret[]): void => {
    if (entries.length === 0) return;
    parts.push(table([[title, 'REQUIRED'], ...entries.map((entry) => [entry.name, entry.required ? 'true' : ''])]));
  };
  needs('SECRET', secrets);
  needs('SSH', ssh);
  return parts.map((part) => `${part}\n`).join('');
}

/** What `docker build --call=targets` prints. */
export function formatTargets({ targets }: Targets): string {
  const shown = ({ name, default: isDefault }: Target): string =>
    name === undefined ? '(default)' : isDefault === true ? `${name} (default)` : name;
  return table([['TARGET', 'DESCRIPTION'], ...targets.map((target) => [shown(target), target.description ?? ''])]);
}
