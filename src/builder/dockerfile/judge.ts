/** A Dockerfile judged by its rules, with what the asker knows; the client and sessions of buildx ask alike. */
import { IgnoreMatcher } from './ignore.ts';
import type { Dockerfile } from './instructions.ts';
import { lint, type LintWarning } from './lint.ts';
import type { LintInput } from './lint-input.ts';
import { type LintOptions, lintOptionsOf } from './lint-options.ts';
import { requireDockerfile } from './parse.ts';
import { globalScope, platformArgs } from './scope.ts';
import type { SourceFile } from './source.ts';

export interface Judged {
  readonly file: Dockerfile;
  readonly options: LintOptions;
  readonly warnings: readonly LintWarning[];
}

export interface Judging {
  readonly buildArgs: ReadonlyMap<string, string>;
  /** Lines of the ignore file. */
  readonly ignore: readonly string[];
  readonly platform: Parameters<typeof platformArgs>[0];
  readonly baseEnv?: LintInput['baseEnv'];
}

/** Errors: DockerfileError. */
export function judge(source: SourceFile, { buildArgs, ignore, platform, baseEnv }: Judging): Judged {
  const file = requireDockerfile(source);
  const predefined = platformArgs(platform, platform);
  const options = lintOptionsOf(file, buildArgs.get('BUILDKIT_DOCKERFILE_CHECK'));
  const warnings = lint({
    file,
    options,
    scope: globalScope(file, buildArgs, predefined),
    defaults: globalScope(file, new Map(), predefined),
    buildArgs,
    ignore: new IgnoreMatcher(ignore),
    ...(baseEnv === undefined ? {} : { baseEnv }),
  });
  return { file, options, warnings };
}

/** As BuildKit's frontend answers. */
export function wireOf({ file: { source }, warnings }: Judged): unknown {
  return {
    warnings: warnings.map(({ rule, description, url, detail, range: { start, end } }) => ({
      ruleName: rule,
      description,
      url,
      detail,
      location: { ranges: [{ start: { line: start.line }, end: { line: end.line } }] },
    })),
    sources: [{ filename: source.name, language: 'Dockerfile', data: Buffer.from(source.text).toString('base64') }],
  };
}
