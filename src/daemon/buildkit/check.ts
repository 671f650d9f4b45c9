/** `--check`: the rules of the Dockerfile, for a build's progress and for clients that ask for nothing else. */
import { IgnoreMatcher } from '#builder/dockerfile/ignore.ts';
import type { Dockerfile } from '#builder/dockerfile/instructions.ts';
import { formatWarnings, lint, type LintWarning } from '#builder/dockerfile/lint.ts';
import { type LintOptions, lintOptionsOf } from '#builder/dockerfile/lint-options.ts';
import { requireDockerfile } from '#builder/dockerfile/parse.ts';
import { globalScope, platformArgs } from '#builder/dockerfile/scope.ts';
import type { SourceFile } from '#builder/dockerfile/source.ts';
import type { Services } from '../services.ts';

export interface Checked {
  readonly file: Dockerfile;
  readonly options: LintOptions;
  readonly warnings: readonly LintWarning[];
}

/** Errors: DockerfileError. */
export function checkDockerfile(
  services: Services,
  source: SourceFile,
  given: { readonly args: Readonly<Record<string, string | null>>; readonly ignore: readonly string[] },
): Checked {
  const file = requireDockerfile(source);
  const entries = Object.entries(given.args).flatMap(([name, value]) =>
    value === null ? [] : [[name, value] as const],
  );
  const buildArgs = new Map(entries);
  const { platform } = services.builder.parts.backend;
  const predefined = platformArgs(platform, platform);
  const options = lintOptionsOf(file, buildArgs.get('BUILDKIT_DOCKERFILE_CHECK'));
  const warnings = lint({
    file,
    options,
    scope: globalScope(file, buildArgs, predefined),
    defaults: globalScope(file, new Map(), predefined),
    buildArgs,
    baseEnv: (base) => environmentOf(services, base),
    ignore: new IgnoreMatcher(given.ignore),
  });
  return { file, options, warnings };
}

/** Of a base image that is here. */
function environmentOf(services: Services, base: string): ReadonlyMap<string, string> | undefined {
  try {
    const list = services.images.resolve(base).config.config?.Env ?? [];
    return new Map(list.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
  } catch {
    // It is not here, or is no name of an image: nothing is known then.
    return undefined;
  }
}

/** The answer to a client that asks for the check alone, as BuildKit's frontend gives it. */
export function checkResult({ file, warnings }: Checked): ReadonlyMap<string, Uint8Array> {
  const { name, text } = file.source;
  const wire = {
    warnings: warnings.map(({ rule, description, url, detail, range }) => ({
      ruleName: rule,
      description,
      url,
      detail,
      location: {
        ranges: [{ start: { line: range.start.line }, end: { line: range.end.line } }],
      },
    })),
    sources: [{ filename: name, language: 'Dockerfile', data: Buffer.from(text).toString('base64') }],
  };
  return new Map([
    ['result.json', Buffer.from(JSON.stringify(wire))],
    ['result.txt', Buffer.from(formatWarnings(file, warnings))],
    ['result.statuscode', Buffer.from(warnings.length === 0 ? '0' : '1')],
    ['version', Buffer.from('1.0.0')],
  ]);
}
