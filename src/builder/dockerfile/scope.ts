/**
 * Where variables come from: the global scope (ARG before the first FROM and what is predefined) and a stage's own, in
 * which an ARG must be declared to be seen and ENV goes before an ARG of the same name.
 */
import { Expander, located } from './expand.ts';
import type { ArgInstruction, Dockerfile, Stage } from './instructions.ts';
import type { Environment } from './lexer.ts';
import { DockerfileError } from './source.ts';
import { suggest } from './suggest.ts';

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/** `linux/arm64/v8` */
export const formatPlatform = ({ os, architecture, variant }: Platform) =>
  [os, architecture, variant ?? ''].filter((part) => part !== '').join('/');

/** Taken from the client without a declaration, for RUN only; in no history and no cache key. */
export const proxyArgs: readonly string[] = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(
  (name) => [name, name.toLowerCase()],
);

/** In the global scope by themselves, in a stage once declared. */
export function platformArgs(build: Platform, target: Platform, targetStage = 'default'): Environment {
  const of = (prefix: string, platform: Platform): readonly [string, string][] => [
    [`${prefix}PLATFORM`, formatPlatform(platform)],
    [`${prefix}OS`, platform.os],
    [`${prefix}ARCH`, platform.architecture],
    [`${prefix}VARIANT`, platform.variant ?? ''],
  ];
  return new Map([...of('BUILD', build), ...of('TARGET', target), ['TARGETSTAGE', targetStage]]);
}

export interface GlobalScope {
  readonly values: Environment;
  /** Also those without a value. */
  readonly declared: ReadonlySet<string>;
}

/** Values of the global ARGs: the client's, else the default, expanded by the ones before it. */
export function globalScope(file: Dockerfile, buildArgs: Environment, predefined: Environment): GlobalScope {
  const values = new Map(predefined);
  for (const name of predefined.keys()) {
    const given = buildArgs.get(name);
    if (given !== undefined) values.set(name, given);
  }
  const declared = new Set(predefined.keys());
  for (const instruction of file.globalArgs) {
    for (const arg of instruction.args) {
      const expander = new Expander(file.escape, values);
      const name = located(file, arg.range, () => expander.word(arg.name));
      declared.add(name);
      const value = buildArgs.get(name) ?? arg.value;
      if (value === undefined) continue;
      values.set(name, buildArgs.has(name) ? value : located(file, arg.range, () => expander.word(value)));
    }
  }
  return { values, declared };
}

export interface ResolvedFrom {
  readonly base: string;
  readonly platform: string | undefined;
  /** Names in FROM that no global ARG declares. */
  readonly undeclared: readonly string[];
}

/** FROM with its variables, which are those of the global scope. Throws a DockerfileError. */
export function resolveFrom(file: Dockerfile, stage: Stage, scope: GlobalScope): ResolvedFrom {
  const { from } = stage;
  const expander = new Expander(file.escape, scope.values);
  const { base, platform } = located(file, from.range, () => ({
    base: expander.word(from.base),
    platform: from.platform === undefined ? undefined : expander.word(from.platform),
  }));
  const undeclared = [...expander.unset].filter((name) => !scope.declared.has(name));
  const meant = undeclared.map((name) => suggest(name, scope.declared)).find((name) => name !== undefined);
  const fail = (message: string) => {
    const suggestion = meant === undefined ? {} : { suggestion: meant };
    throw new DockerfileError(file.source, { message, range: from.range, ...suggestion });
  };
  if (base === '') fail(`base name (${from.base}) should not be blank`);
  if (platform === '') fail(`empty platform value from expression ${from.platform ?? ''}`);
  return { base, platform, undeclared };
}

/** A stage by its name or, for `COPY --from=0` and `--target 0`, by its number. The last of equal names counts. */
export function findStage(file: Dockerfile, name: string, before = file.stages.length): Stage | undefined {
  const lower = name.toLowerCase();
  const named = file.stages.slice(0, before).findLast(({ from }) => from.stage === lower);
  if (named !== undefined || !/^\d+$/.test(name)) return named;
  const index = Number(name);
  return index < before ? file.stages[index] : undefined;
}

/** The variables of one stage while it is gone through. */
export class StageScope {
  readonly #global: GlobalScope;
  readonly #buildArgs: Environment;
  readonly #env: Map<string, string>;
  readonly #args = new Map<string, string>();
  readonly #declared = new Set<string>();

  /** `baseEnv` is the base image's environment, `inherited` the scope of the stage that this one is FROM. */
  constructor(global: GlobalScope, buildArgs: Environment, baseEnv: Environment, inherited?: StageScope) {
    this.#global = global;
    this.#buildArgs = buildArgs;
    this.#env = new Map(baseEnv);
    if (inherited === undefined) return;
    for (const [name, value] of inherited.#args) this.#args.set(name, value);
    for (const name of inherited.#declared) this.#declared.add(name);
  }

  /** ARG, already expanded: the client's value, else the default, else the global one. */
  declare(instruction: ArgInstruction): void {
    for (const { name, value } of instruction.args) {
      this.#declared.add(name);
      const found = this.#buildArgs.get(name) ?? value ?? this.#global.values.get(name);
      if (found !== undefined) this.#args.set(name, found);
    }
  }

  set(name: string, value: string): void {
    this.#env.set(name, value);
  }

  /** What instructions expand with, and what a RUN sees (but for proxies). */
  get environment(): Environment {
    return new Map([...this.#args, ...this.#env]);
  }

  /** ENV only: what the image keeps. */
  get imageEnvironment(): Environment {
    return this.#env;
  }

  /** Declared arguments with a value: part of a RUN's history and cache key. */
  get args(): Environment {
    return this.#args;
  }

  get declared(): ReadonlySet<string> {
    return this.#declared;
  }

  /** The client's values of predefined proxies, which a RUN sees without a declaration. */
  get proxies(): Environment {
    const out = new Map<string, string>();
    for (const name of proxyArgs) {
      const value = this.#buildArgs.get(name);
      if (value !== undefined && !this.#declared.has(name)) out.set(name, value);
    }
    return out;
  }
}
