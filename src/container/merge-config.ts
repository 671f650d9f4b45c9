/**
 * A container's Config from the request and its image, by Docker's rules: what the request leaves empty comes from the
 * image; maps and environment are united, the request winning; an entrypoint in the request makes the image's Cmd void.
 */
import type { ContainerConfig, HealthConfig } from '#api/types/container.ts';
import { invalidParameter } from '#errdefs/errors.ts';

/** The `config` object of an OCI or Docker image. */
export interface ImageRunConfig {
  readonly User?: string | undefined;
  readonly ExposedPorts?: Readonly<Record<string, unknown>> | null | undefined;
  readonly Env?: readonly string[] | null | undefined;
  readonly Entrypoint?: readonly string[] | null | undefined;
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Volumes?: Readonly<Record<string, unknown>> | null | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Labels?: Readonly<Record<string, string>> | null | undefined;
  readonly StopSignal?: string | undefined;
  readonly Healthcheck?: HealthConfig | null | undefined;
  readonly Shell?: readonly string[] | null | undefined;
  readonly OnBuild?: readonly string[] | null | undefined;
}

/** Errors: invalid-parameter `no command specified`. */
export function mergeConfig(request: ContainerConfig, image: ImageRunConfig): ContainerConfig {
  const merged: ContainerConfig = {
    ...request,
    User: request.User === '' ? (image.User ?? '') : request.User,
    Env: mergeEnv(request.Env ?? [], image.Env ?? []),
    Volumes: unite(request.Volumes, image.Volumes),
    WorkingDir: request.WorkingDir === '' ? (image.WorkingDir ?? '') : request.WorkingDir,
    Labels: { ...image.Labels, ...request.Labels },
    ...mergeCommand(request, image),
  };
  const ports = unite(request.ExposedPorts, image.ExposedPorts);
  if (ports !== null) merged.ExposedPorts = ports;
  const stopSignal = request.StopSignal ?? '';
  if (stopSignal === '' && image.StopSignal !== undefined && image.StopSignal !== '') {
    merged.StopSignal = image.StopSignal;
  }
  const health = mergeHealthcheck(request.Healthcheck, image.Healthcheck ?? undefined);
  if (health !== undefined) merged.Healthcheck = health;
  const shell = image.Shell ?? [];
  if (request.Shell === undefined && shell.length > 0) merged.Shell = [...shell];
  if ((merged.Entrypoint ?? []).length === 0 && (merged.Cmd ?? []).length === 0) {
    throw invalidParameter('no command specified');
  }
  return merged;
}

function mergeCommand(request: ContainerConfig, image: ImageRunConfig): Pick<ContainerConfig, 'Cmd' | 'Entrypoint'> {
  let { Entrypoint, Cmd } = request;
  if ((Entrypoint ?? []).length === 0) {
    if ((Cmd ?? []).length === 0) Cmd = copy(image.Cmd);
    Entrypoint ??= copy(image.Entrypoint);
  }
  // `--entrypoint ""` is sent as [""] and takes the image's away.
  if (Entrypoint?.length === 1 && Entrypoint[0] === '') Entrypoint = null;
  return { Cmd, Entrypoint };
}

function copy(list: readonly string[] | null | undefined): string[] | null {
  return list === null || list === undefined ? null : [...list];
}

function unite(
  request: Readonly<Record<string, unknown>> | null | undefined,
  image: Readonly<Record<string, unknown>> | null | undefined,
): Record<string, Record<string, never>> | null {
  const keys = [...Object.keys(request ?? {}), ...Object.keys(image ?? {})];
  return keys.length === 0 ? null : Object.fromEntries([...new Set(keys)].map((key) => [key, {}]));
}

/** The request's entries first, then the image's whose names the request does not have. */
function mergeEnv(request: readonly string[], image: readonly string[]): string[] {
  const names = new Set(request.map(envName));
  return [...request, ...image.filter((entry) => !names.has(envName(entry)))];
}

export function envName(entry: string): string {
  const at = entry.indexOf('=');
  return at < 0 ? entry : entry.slice(0, at);
}

function mergeHealthcheck(
  request: HealthConfig | undefined,
  image: HealthConfig | undefined,
): HealthConfig | undefined {
  if (request === undefined || image === undefined) return request ?? image;
  const merged: HealthConfig = { ...image, ...request };
  if ((request.Test ?? []).length === 0 && image.Test !== undefined) merged.Test = image.Test;
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const inherited = image[key];
    if ((request[key] ?? 0) === 0 && inherited !== undefined) merged[key] = inherited;
  }
  return merged;
}

/**
 * The environment of the first process: defaults, overridden and followed by the container's own. An entry without `=`
 * takes the name away.
 */
export function processEnv(
  config: Pick<ContainerConfig, 'Env' | 'Tty' | 'Hostname'>,
  links: readonly string[] = [],
): string[] {
  const env = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${config.Hostname}`];
  if (config.Tty) env.push('TERM=xterm');
  return overrideEnv(overrideEnv(env, links), config.Env ?? []);
}

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function overrideEnv(base: readonly string[], overrides: readonly string[]): string[] {
  const env = new Map(base.map((entry) => [envName(entry), entry]));
  for (const entry of overrides) {
    const name = envName(entry);
    if (entry.includes('=')) env.set(name, entry);
    else env.delete(name);
  }
  return [...env.values()];
}
