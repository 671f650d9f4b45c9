/** `# check=skip=…;error=true;experimental=…`, and the build argument BUILDKIT_DOCKERFILE_CHECK that goes before it. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { Dockerfile } from './instructions.ts';
import { isExperimental, type RuleName } from './lint-rules.ts';

export interface LintOptions {
  readonly skip: ReadonlySet<string> | 'all';
  readonly experimental: ReadonlySet<string> | 'all';
  /** Warnings fail the build. */
  readonly error: boolean;
}

/** Throws invalid-parameter `invalid check option "…"`. */
export function parseLintOptions(text: string): LintOptions {
  let skip: LintOptions['skip'] = new Set();
  let experimental: LintOptions['experimental'] = new Set();
  let error = false;
  for (const part of text.trim() === '' ? [] : text.trim().split(';')) {
    const equals = part.indexOf('=');
    const key = part.slice(0, Math.max(equals, 0)).trim();
    const value = part.slice(equals + 1).trim();
    if (equals < 0) throw invalidParameter(`invalid check option ${JSON.stringify(part)}`);
    if (key === 'skip') skip = namesOf(value);
    else if (key === 'experimental') experimental = namesOf(value);
    else if (key !== 'error') throw invalidParameter(`invalid check option ${JSON.stringify(key)}`);
    else if (/^(?:1|t|true)$/i.test(value)) error = true;
    else if (!/^(?:0|f|false)$/i.test(value)) {
      throw invalidParameter(`failed to parse check option ${JSON.stringify(part)}: invalid syntax`);
    }
  }
  return { skip, experimental, error };
}

const namesOf = (value: string) => (value === 'all' ? 'all' : new Set(value.split(',').map((name) => name.trim())));

/** `override` is the build argument's value. */
export function lintOptionsOf(file: Dockerfile, override?: string): LintOptions {
  return parseLintOptions(override ?? file.directives.check?.value ?? '');
}

export function isEnabled(options: LintOptions, rule: RuleName): boolean {
  if (isExperimental(rule)) {
    if (options.experimental === 'all' || options.experimental.has(rule)) return true;
    return false;
  }
  return options.skip !== 'all' && !options.skip.has(rule);
}
