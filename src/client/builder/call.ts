/** `build --call`: the Dockerfile is read and judged or described; nothing is built. */
import { judge, wireOf } from '#builder/dockerfile/judge.ts';
import { failOnWarnings, formatWarnings } from '#builder/dockerfile/lint.ts';
import { formatOutline, formatTargets, outlineOf, targetsOf } from '#builder/dockerfile/outline.ts';
import { requireDockerfile } from '#builder/dockerfile/parse.ts';
import { platformArgs } from '#builder/dockerfile/scope.ts';
import { csvFields } from '#pkg/csv/csv.ts';
import { type CommandContext, UsageError } from '../command.ts';
import type { BuildValues } from './build-flags.ts';
import type { PackedContext } from './context.ts';

/** `check`, `outline,format=json`. Errors: UsageError for others. */
export function callDockerfile(
  { io }: CommandContext,
  values: BuildValues,
  { source, ignore }: Pick<PackedContext, 'source' | 'ignore'>,
  call: string,
): number {
  const { method, isJson } = methodOf(call);
  const file = requireDockerfile(source);
  const given = values['build-arg'].map((option): [string, string] => {
    const [name = '', value = ''] = option.split(/=(.*)/s);
    return [name, value];
  });
  const buildArgs = new Map(given);
  const host = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
  const predefined = platformArgs(host, host);
  const json = (value: unknown): void => io.out(`${JSON.stringify(value, undefined, 2)}\n`);
  if (method === 'outline') {
    const outline = outlineOf(file, { target: values.target, buildArgs, predefined });
    if (isJson) json(outline);
    else io.out(formatOutline(outline));
    return 0;
  }
  if (method === 'targets') {
    const targets = targetsOf(file, { target: values.target, buildArgs, predefined });
    if (isJson) json(targets);
    else io.out(formatTargets(targets));
    return 0;
  }
  const judged = judge(source, { buildArgs, ignore, platform: host });
  const { options, warnings } = judged;
  if (isJson) json(wireOf(judged));
  else io.out(formatWarnings(file, warnings));
  failOnWarnings(options, warnings);
  return warnings.length === 0 ? 0 : 1;
}

function methodOf(call: string): { readonly method: string; readonly isJson: boolean } {
  const [method = '', ...fields] = csvFields(call);
  const names: readonly string[] = ['check', 'outline', 'targets'];
  const known = method === 'lint' ? 'check' : method;
  if (!names.includes(known)) throw new UsageError(`invalid value ${JSON.stringify(method)} for --call`);
  let isJson = false;
  for (const field of fields) {
    if (field === 'format=json') isJson = true;
    else if (field !== 'format=text') throw new UsageError(`invalid option ${JSON.stringify(field)} for --call`);
  }
  return { method: known, isJson };
}
