/** `GET /containers/{id}/json`: the record in the words of the API. */
import type { ContainerInspect, ContainerState } from '#api/types/container.ts';
import type { Health } from '#container/health.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import { shownMaskedPaths, defaultReadonlyPaths } from '#container/spec/paths.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { shownLinks } from '../network/links.ts';
import type { Services } from '../services.ts';
import { pathsOf } from './generated-paths.ts';
import { logPathOf } from './log-target.ts';
import { mountPointsOf } from './mount-points.ts';
import { networkSettingsOf } from './network-settings.ts';
import { containerDirectory, containersDirectory } from './paths.ts';

const NEVER = '0001-01-01T00:00:00Z';

export async function inspectContainer(
  services: Services,
  input: { readonly container: string; readonly size: boolean },
): Promise<ContainerInspect> {
  const record = services.containers.resolve(input.container);
  const layer = services.layers.readWrite(record.id);
  const files = pathsOf(containerDirectory(services, record.id));
  const own = input.size ? await layer?.size() : undefined;
  const sizes = own === undefined || layer === undefined ? undefined : { rw: own, root: own + layer.virtualSize() };
  const started = record.state.startedAt !== '';
  const logLost = services.logLosses.of(record.id);
  const { apparmor } = parseSecurityOptions(record.hostConfig.SecurityOpt ?? []);
  return {
    Id: record.id,
    Created: record.createdAt,
    Path: record.path,
    Args: [...record.args],
    State: stateOf(record, services.health.healthOf(record)),
    Image: record.imageId,
    ResolvConfPath: started ? files.resolvConf : '',
    HostnamePath: started ? files.hostname : '',
    HostsPath: started ? files.hosts : '',
    ...(logLost === undefined ? {} : { LogLost: logLost }),
    LogPath: started ? logPathOf(containersDirectory(services), record) : '',
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: record.driver,
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: apparmor ?? (record.hostConfig.Privileged ? '' : services.isolation.apparmorProfile),
    ExecIDs: services.execs.idsOf(record.id),
    HostConfig: hostConfigOf(services, record),
    GraphDriver: { Data: layer?.metadata() ?? null, Name: record.driver },
    ...(sizes === undefined ? {} : { SizeRw: sizes.rw, SizeRootFs: sizes.root }),
    Mounts: mountPointsOf(record),
    Config: configOf(record),
    NetworkSettings: networkSettingsOf(record),
    ...ownOf(record),
  };
}

/** The address that was asked for on its first network, also where clients of old look for it. */
function configOf({ config, networks, hostConfig }: ContainerRecord): ContainerInspect['Config'] {
  const mac = networks[primaryNetworkOf(hostConfig.NetworkMode)]?.mac ?? '';
  return mac === '' || (config.MacAddress ?? '') !== '' ? config : { ...config, MacAddress: mac };
}

const primaryNetworkOf = (mode: string): string => (mode === '' || mode === 'default' ? 'bridge' : mode);

function ownOf({ revision = 0, restartBackoff = {} }: ContainerRecord): Pick<ContainerInspect, 'Berth'> {
  if (revision === 0) return {};
  const waits = Object.keys(restartBackoff).length === 0 ? {} : { RestartBackoff: restartBackoff };
  return { Berth: { Revision: revision, ...waits } };
}

function hostConfigOf(services: Pick<Services, 'containers'>, record: ContainerRecord): ContainerInspect['HostConfig'] {
  const host = { ...record.hostConfig, Links: shownLinks(services, record) };
  if (host.Privileged) return { ...host, MaskedPaths: null, ReadonlyPaths: null };
  return {
    ...host,
    MaskedPaths: host.MaskedPaths ?? [...shownMaskedPaths],
    ReadonlyPaths: host.ReadonlyPaths ?? [...defaultReadonlyPaths],
  };
}

export function stateOf(record: ContainerRecord, health: Health | undefined): ContainerState {
  const { state } = record;
  return {
    Status: state.status,
    Running: isRunningOrRestarting(state),
    Paused: state.status === 'paused',
    Restarting: state.status === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: state.status === 'dead',
    Pid: state.pid,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt === '' ? NEVER : state.startedAt,
    FinishedAt: state.finishedAt === '' ? NEVER : state.finishedAt,
    ...(health === undefined ? {} : { Health: wireHealth(health) }),
  };
}

function wireHealth({ status, failingStreak, log }: Health): NonNullable<ContainerState['Health']> {
  return {
    Status: status,
    FailingStreak: failingStreak,
    Log: log.map((result) => ({
      Start: result.start,
      End: result.end,
      ExitCode: result.exitCode,
      Output: result.output,
    })),
  };
}
