/** Rules that follow a build through its stages: variables, working directories, shells, what is copied and exposed. */
import { parseReference } from '#reference/reference.ts';
import { Expander, expandInstruction, mountsOf } from './expand.ts';
import type { AddInstruction, CopyInstruction, ExposeInstruction, Stage, StageInstruction } from './instructions.ts';
import type { Environment } from './lexer.ts';
import type { LintInput, Warn } from './lint-input.ts';
import { findStage, resolveFrom, StageScope } from './scope.ts';
import { DockerfileError } from './source.ts';
import { suggest } from './suggest.ts';

/** What a stage hands on to stages that are FROM it. */
interface Seen {
  readonly scope: StageScope;
  shell: boolean;
  workdir: boolean;
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function lintStages(input: LintInput, warn: Warn): void {
  const done: Seen[] = [];
  for (const stage of input.file.stages) {
    const base = lintFrom(input, stage, warn);
    const inherited = base === undefined ? undefined : findStage(input.file, base, stage.index);
    const before = inherited === undefined ? undefined : done[inherited.index];
    const seen: Seen = {
      scope: new StageScope(input.scope, input.buildArgs, environmentOf(input, base, before), before?.scope),
      shell: before?.shell ?? false,
      workdir: before?.workdir ?? false,
    };
    done.push(seen);
    for (const instruction of stage.instructions) lintInstruction(input, instruction, seen, warn);
  }
}

function environmentOf(input: LintInput, base: string | undefined, before: Seen | undefined): Environment {
  if (before !== undefined) return before.scope.imageEnvironment;
  const known = base === undefined ? undefined : input.baseEnv?.(base);
  return new Map([['PATH', PATH], ...(known ?? [])]);
}

/** The expanded base, or undefined when it cannot be told. */
function lintFrom(input: LintInput, stage: Stage, warn: Warn): string | undefined {
  const { from } = stage;
  if (from.platform !== undefined) lintPlatform(stage, from.platform, warn);
  const whole = new Expander(input.file.escape, input.scope.values);
  const plain = new Expander(input.file.escape, input.defaults.values);
  try {
    whole.word(from.base);
    if (from.platform !== undefined) whole.word(from.platform);
    for (const name of whole.unset) {
      if (input.scope.declared.has(name)) continue;
      const meant = suggest(name, input.scope.declared);
      const hint = meant === undefined ? '' : ` (did you mean ${meant}?)`;
      warn('UndefinedArgInFrom', from.range, `FROM argument '${name}' is not declared${hint}`);
    }
    if (!isImageName(plain.word(from.base))) {
      const detail = `Default value for ARG ${from.base} results in empty or invalid base image name`;
      warn('InvalidDefaultArgInFrom', from.range, detail);
    }
    return resolveFrom(input.file, stage, input.scope).base;
  } catch {
    // What cannot be expanded fails the build with its own message.
    return undefined;
  }
}

function isImageName(name: string): boolean {
  try {
    parseReference(name);
    return true;
  } catch {
    return false;
  }
}

function lintPlatform({ from }: Stage, platform: string, warn: Warn): void {
  if (/^\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(platform)) {
    const detail = `Setting platform to predefined ${platform} in FROM is redundant as this is the default behavior`;
    warn('RedundantTargetPlatform', from.range, detail);
  }
  if (platform.includes('$')) return;
  // A stage that is called after its platform is one of several, chosen by name.
  if (platform.split('/').some((part) => part !== '' && from.stage?.includes(part.toLowerCase()) === true)) return;
  const detail = `FROM --platform flag should not use constant value ${JSON.stringify(platform)}`;
  warn('FromPlatformFlagConstDisallowed', from.range, detail);
}

function lintInstruction(input: LintInput, instruction: StageInstruction, seen: Seen, warn: Warn): void {
  const env = seen.scope.environment;
  let expanded = instruction;
  const unset = new Set<string>();
  try {
    const found = expandInstruction(input.file, instruction, env);
    expanded = found.value;
    for (const name of found.unset) unset.add(name);
    if (instruction.keyword === 'RUN') for (const name of mountsOf(input.file, instruction, env).unset) unset.add(name);
  } catch (error) {
    // What cannot be expanded fails the build with its own message.
    if (!(error instanceof DockerfileError)) throw error;
  }
  for (const name of unset) {
    if (seen.scope.declared.has(name)) continue;
    const meant = suggest(name, [...seen.scope.declared, ...env.keys()]);
    const hint = meant === undefined ? '' : ` (did you mean $${meant}?)`;
    warn('UndefinedVar', instruction.range, `Usage of undefined variable '$${name}'${hint}`);
  }
  apply(input, expanded, seen, warn);
}

function apply(input: LintInput, instruction: StageInstruction, seen: Seen, warn: Warn): void {
  switch (instruction.keyword) {
    case 'ARG':
      for (const { name } of instruction.args) lintSecret('ARG', name, instruction, warn);
      seen.scope.declare(instruction);
      break;
    case 'ENV':
      for (const { name } of instruction.pairs) lintSecret('ENV', name, instruction, warn);
      for (const { name, value } of instruction.pairs) seen.scope.set(name, value);
      break;
    case 'SHELL':
      seen.shell = true;
      break;
    case 'CMD':
    case 'ENTRYPOINT':
      if (instruction.command.form === 'shell' && instruction.command.args.length > 0 && !seen.shell) {
        const why = 'to prevent unintended behavior related to OS signals';
        const detail = `JSON arguments recommended for ${instruction.keyword} ${why}`;
        warn('JSONArgsRecommended', instruction.range, detail);
      }
      break;
    case 'WORKDIR':
      if (!seen.workdir && !instruction.path.startsWith('/')) {
        const path = JSON.stringify(instruction.path);
        const detail = `Relative workdir ${path} can have unexpected results if the base image changes`;
        warn('WorkdirRelativePath', instruction.range, detail);
      }
      seen.workdir = true;
      break;
    case 'EXPOSE':
      lintExpose(instruction, warn);
      break;
    case 'COPY':
    case 'ADD':
      lintSources(input, instruction, warn);
      break;
    case 'HEALTHCHECK':
    case 'LABEL':
    case 'MAINTAINER':
    case 'ONBUILD':
    case 'RUN':
    case 'STOPSIGNAL':
    case 'USER':
    case 'VOLUME':
      break;
    default:
      instruction satisfies never;
  }
}

const secretName = /(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)/i;
const publicName = /(?:_|^)public(?:_|$)/i;

function lintSecret(keyword: 'ARG' | 'ENV', name: string, { range }: StageInstruction, warn: Warn): void {
  if (!secretName.test(name) || publicName.test(name)) return;
  const detail = `Do not use ARG or ENV instructions for sensitive data (${keyword} ${JSON.stringify(name)})`;
  warn('SecretsUsedInArgOrEnv', range, detail);
}

function lintExpose({ ports, range }: ExposeInstruction, warn: Warn): void {
  for (const port of ports) {
    const [, protocol = ''] = port.split('/');
    if (protocol !== protocol.toLowerCase()) {
      const detail = `Defined protocol '${port}' in EXPOSE instruction should be lowercase`;
      warn('ExposeProtoCasing', range, detail);
    }
    if (port.includes(':')) {
      const detail = `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`;
      warn('ExposeInvalidFormat', range, detail);
    }
  }
}

function lintSources(input: LintInput, instruction: CopyInstruction | AddInstruction, warn: Warn): void {
  if (input.ignore === undefined || (instruction.keyword === 'COPY' && instruction.from !== undefined)) return;
  const verb = instruction.keyword === 'COPY' ? 'Copy' : 'Add';
  for (const source of instruction.sources) {
    if (/^[a-z+]+:\/\/|^git@/.test(source) || !input.ignore.ignores(source)) continue;
    const detail = `Attempting to ${verb} file ${JSON.stringify(source)} that is excluded by .dockerignore`;
    warn('CopyIgnoredFile', instruction.range, detail);
  }
}
