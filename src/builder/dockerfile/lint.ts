/**
 * `build --check`: what is legal in a Dockerfile and yet probably wrong. All stages are looked at, in order; what a
 * stage inherits from one before it (shell, working directory, variables) counts.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import type { Dockerfile } from './instructions.ts';
import { lintFile } from './lint-file.ts';
import type { LintInput, Warn } from './lint-input.ts';
import { isEnabled, type LintOptions } from './lint-options.ts';
import { lintRules, type RuleName, ruleUrl } from './lint-rules.ts';
import { lintStages } from './lint-stages.ts';
import { excerptOf, type SourceRange } from './source.ts';

export interface LintWarning {
  readonly rule: RuleName;
  readonly description: string;
  readonly url: string;
  readonly detail: string;
  readonly range: SourceRange;
}

export function lint(input: LintInput): readonly LintWarning[] {
  const warnings: LintWarning[] = [];
  const warn: Warn = (rule, range, detail) => {
    if (!isEnabled(input.options, rule)) return;
    warnings.push({ rule, description: lintRules[rule].description, url: ruleUrl(rule), detail, range });
  };
  lintFile(input, warn);
  lintStages(input, warn);
  return warnings.sort(
    (a, b) => a.range.start.line - b.range.start.line || (a.detail < b.detail ? -1 : Number(a.detail > b.detail)),
  );
}

/** Throws invalid-parameter when the Dockerfile says that warnings are errors. */
export function failOnWarnings(options: LintOptions, warnings: readonly LintWarning[]): void {
  if (!options.error || warnings.length === 0) return;
  const rules = [...new Set(warnings.map(({ rule }) => rule))];
  throw invalidParameter(`lint violation found for rules: ${rules.join(', ')}`);
}

/** What `docker build --check` prints. */
export function formatWarnings(file: Dockerfile, warnings: readonly LintWarning[]): string {
  if (warnings.length === 0) return 'Check complete, no warnings found.\n';
  const count = warnings.length === 1 ? '1 warning has' : `${warnings.length} warnings have`;
  const each = warnings.map(
    ({ rule, url, detail, range }) => `\nWARNING: ${rule} - ${url}\n${detail}\n${excerptOf(file.source, range)}`,
  );
  return `Check complete, ${count} been found!\n${each.join('')}`;
}
