/** What the rules look at, and how they say what they found. */
import type { IgnoreMatcher } from './ignore.ts';
import type { Dockerfile } from './instructions.ts';
import type { Environment } from './lexer.ts';
import type { LintOptions } from './lint-options.ts';
import type { RuleName } from './lint-rules.ts';
import type { GlobalScope } from './scope.ts';
import type { SourceRange } from './source.ts';

export interface LintInput {
  readonly file: Dockerfile;
  readonly options: LintOptions;
  /** Global scope of this build, and the one without any value from the client. */
  readonly scope: GlobalScope;
  readonly defaults: GlobalScope;
  readonly buildArgs: Environment;
  /** Environment of base images, as far as known. */
  readonly baseEnv?: (base: string) => Environment | undefined;
  readonly ignore?: IgnoreMatcher;
}

export type Warn = (rule: RuleName, range: SourceRange, detail: string) => void;
