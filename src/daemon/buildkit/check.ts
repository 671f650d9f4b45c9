/** `--check`: the rules of the Dockerfile, for a build's progress and for clients that ask for nothing else. */
import { type Judged, judge, wireOf } from '#builder/dockerfile/judge.ts';
import { formatWarnings } from '#builder/dockerfile/lint.ts';
import type { SourceFile } from '#builder/dockerfile/source.ts';
import type { Services } from '../services.ts';

export type Checked = Judged;

/** Errors: DockerfileError. */
export function checkDockerfile(
  services: Services,
  source: SourceFile,
  { args, ignore }: { readonly args: Readonly<Record<string, string | null>>; readonly ignore: readonly string[] },
): Checked {
  const entries = Object.entries(args).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const]));
  const { platform } = services.builder.parts.backend;
  const baseEnv = (base: string) => environmentOf(services, base);
  return judge(source, { buildArgs: new Map(entries), ignore, platform, baseEnv });
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
export function checkResult(checked: Checked): ReadonlyMap<string, Uint8Array> {
  const { file, warnings } = checked;
  return new Map([
    ['result.json', Buffer.from(JSON.stringify(wireOf(checked)))],
    ['result.txt', Buffer.from(formatWarnings(file, warnings))],
    ['result.statuscode', Buffer.from(warnings.length === 0 ? '0' : '1')],
    ['version', Buffer.from('1.0.0')],
  ]);
}
