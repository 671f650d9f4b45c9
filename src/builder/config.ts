/** What instructions without files do to an image's configuration. Pure. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { ImageRunConfig } from '#image/config.ts';
import type {
  CommandInstruction,
  CommandLine,
  HealthcheckInstruction,
  Pair,
  StageInstruction,
} from './dockerfile/instructions.ts';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const DEFAULT_SHELL: readonly string[] = ['/bin/sh', '-c'];

export interface StageConfig {
  readonly config: ImageRunConfig;
  readonly author: string | undefined;
  /** CMD was in this stage: an ENTRYPOINT leaves it alone. */
  readonly hasCommand: boolean;
}

/** Every image has a PATH. */
export function withPath(config: ImageRunConfig): ImageRunConfig {
  const env = config.Env ?? [];
  return env.some((entry) => entry.startsWith('PATH=')) ? config : { ...config, Env: [...env, `PATH=${DEFAULT_PATH}`] };
}

/** The instruction has been expanded. Errors: invalid-parameter. */
export function applyInstruction(before: StageConfig, instruction: StageInstruction): StageConfig {
  const { config } = before;
  const changed = (change: Partial<ImageRunConfig>): StageConfig => ({ ...before, config: { ...config, ...change } });
  switch (instruction.keyword) {
    case 'ENV':
      return changed({ Env: instruction.pairs.reduce(withVariable, [...(config.Env ?? [])]) });
    case 'LABEL':
      return changed({ Labels: { ...config.Labels, ...Object.fromEntries(instruction.pairs.map(entryOf)) } });
    case 'EXPOSE':
      return changed({
        ExposedPorts: { ...config.ExposedPorts, ...Object.fromEntries(instruction.ports.flatMap(exposed)) },
      });
    case 'VOLUME':
      return changed({ Volumes: { ...config.Volumes, ...Object.fromEntries(instruction.paths.map(volume)) } });
    case 'USER':
      return changed({ User: instruction.user });
    case 'WORKDIR':
      return changed({ WorkingDir: resolvePath(config.WorkingDir, instruction.path) });
    case 'CMD':
      return { ...changed({ Cmd: commandOf(instruction, config) }), hasCommand: true };
    case 'ENTRYPOINT': {
      const entry = changed({ Entrypoint: commandOf(instruction, config) });
      return before.hasCommand ? entry : { ...entry, config: { ...entry.config, Cmd: null } };
    }
    case 'SHELL':
      return changed({ Shell: [...instruction.shell] });
    case 'STOPSIGNAL':
      return changed({ StopSignal: instruction.signal });
    case 'HEALTHCHECK':
      return changed({ Healthcheck: healthOf(instruction) });
    case 'ONBUILD':
      return changed({ OnBuild: [...(config.OnBuild ?? []), instruction.trigger] });
    case 'MAINTAINER':
      return { ...before, author: instruction.maintainer };
    case 'ARG':
    case 'RUN':
    case 'COPY':
    case 'ADD':
      return before;
    default:
      return instruction satisfies never;
  }
}

const entryOf = ({ name, value }: Pair): readonly [string, string] => [name, value];

function withVariable(env: readonly string[], { name, value }: Pair): string[] {
  const line = `${name}=${value}`;
  const at = env.findIndex((entry) => entry.startsWith(`${name}=`));
  return at < 0 ? [...env, line] : env.with(at, line);
}

/** Shell form goes through the shell of the stage. */
export function shellCommand({ form, args }: CommandLine, config: ImageRunConfig): string[] {
  if (form === 'exec') return [...args];
  const shell = config.Shell ?? [];
  return [...(shell.length === 0 ? DEFAULT_SHELL : shell), ...args];
}

function commandOf({ command }: CommandInstruction, config: ImageRunConfig): string[] {
  if (command.form === 'shell' && command.args.every((arg) => arg === '')) return [];
  return shellCommand(command, config);
}

/** A path of the image, absolute and clean. */
export function resolvePath(workdir: string | undefined, path: string): string {
  const base = path.startsWith('/') ? '' : (workdir ?? '');
  const names: string[] = [];
  for (const name of `${base}/${path}`.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return `/${names.join('/')}`;
}

/** `80`, `53/udp`, `8000-8002/tcp`. */
function exposed(port: string): [string, Record<string, never>][] {
  const match = /^(?:\S*:)?(\d+)(?:-(\d+))?(?:\/([a-z]+))?$/i.exec(port);
  const from = Number(match?.[1]);
  const to = Number(match?.[2] ?? from);
  const protocol = (match?.[3] ?? 'tcp').toLowerCase();
  if (match === null || from > to || to > 65_535) throw invalidParameter(`invalid containerPort: ${port}`);
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw invalidParameter(`invalid proto: ${protocol}`);
  return Array.from({ length: to - from + 1 }, (_, i) => [`${from + i}/${protocol}`, {}]);
}

function volume(path: string): [string, Record<string, never>] {
  if (path.trim() === '') throw invalidParameter('VOLUME specified can not be an empty string');
  return [path.trim(), {}];
}

function healthOf(instruction: HealthcheckInstruction): NonNullable<ImageRunConfig['Healthcheck']> {
  const health: NonNullable<ImageRunConfig['Healthcheck']> = { Test: [...instruction.test] };
  if (instruction.intervalNs !== undefined) health.Interval = Number(instruction.intervalNs);
  if (instruction.timeoutNs !== undefined) health.Timeout = Number(instruction.timeoutNs);
  if (instruction.startPeriodNs !== undefined) health.StartPeriod = Number(instruction.startPeriodNs);
  if (instruction.startIntervalNs !== undefined) health.StartInterval = Number(instruction.startIntervalNs);
  if (instruction.retries !== undefined) health.Retries = instruction.retries;
  return health;
}
