/** `build --check`: the Dockerfile is read and judged; nothing is built. */
import { failOnWarnings, formatWarnings, lint } from '#builder/dockerfile/lint.ts';
import { lintOptionsOf } from '#builder/dockerfile/lint-options.ts';
import { requireDockerfile } from '#builder/dockerfile/parse.ts';
import { globalScope, platformArgs } from '#builder/dockerfile/scope.ts';
import type { SourceFile } from '#builder/dockerfile/source.ts';
import type { CommandContext } from '../command.ts';
import type { FlagValues } from '../flags/flag-spec.ts';
import type { buildFlags } from './build-flags.ts';

export function checkDockerfile(
  { io }: CommandContext,
  values: FlagValues<typeof buildFlags>,
  source: SourceFile,
): number {
  const file = requireDockerfile(source);
  const given = values['build-arg'].map((option): [string, string] => {
    const [name = '', value = ''] = option.split(/=(.*)/s);
    return [name, value];
  });
  const buildArgs = new Map(given);
  const host = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
  const predefined = platformArgs(host, host);
  const options = lintOptionsOf(file, buildArgs.get('BUILDKIT_DOCKERFILE_CHECK'));
  const warnings = lint({
    file,
    options,
    scope: globalScope(file, buildArgs, predefined),
    defaults: globalScope(file, new Map(), predefined),
    buildArgs,
  });
  io.out(formatWarnings(file, warnings));
  failOnWarnings(options, warnings);
  return warnings.length === 0 ? 0 : 1;
}
