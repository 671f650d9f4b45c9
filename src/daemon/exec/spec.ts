/** The process of an exec: the container's settings, changed by what the exec asks for. */
import type { ExecCreateRequest } from '#api/types/exec.ts';
import { effectiveCapabilities } from '#container/capabilities.ts';
import { overrideEnv, processEnv } from '#container/merge-config.ts';
import type { ContainerRecord } from '#container/record.ts';
import { rlimitsOf } from '#container/resources.ts';
import { parseSecurityOptions } from '#container/security-opt.ts';
import { idMappingsOf, namespacesOf } from '#container/spec/spec.ts';
import { OCI_VERSION, type Spec } from '#libcontainer/spec.ts';
import { cgroupPathOf } from '../container/cgroup-path.ts';
import { filterOf } from '../container/seccomp.ts';
import { linkVariables } from '../network/links.ts';
import type { Services } from '../services.ts';

export function execSpecOf(
  services: Pick<Services, 'containers' | 'host' | 'settings' | 'isolation' | 'seccompDefault'>,
  record: ContainerRecord,
  request: ExecCreateRequest,
  consoleSize: readonly [height: number, width: number] | null,
): Spec {
  const { config, hostConfig } = record;
  const capabilities = effectiveCapabilities({
    add: hostConfig.CapAdd ?? [],
    drop: hostConfig.CapDrop ?? [],
    privileged: hostConfig.Privileged || request.Privileged,
    bounding: services.host.bounding,
  });
  const options = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  const defaultProfile = hostConfig.Privileged ? '' : services.isolation.apparmorProfile;
  const apparmor = options.apparmor ?? defaultProfile;
  const seccomp = request.Privileged ? undefined : filterOf(hostConfig, capabilities, services.seccompDefault);
  const [height, width] = consoleSize ?? [0, 0];
  const user = request.User === '' ? config.User : request.User;
  const cwd = request.WorkingDir === '' ? config.WorkingDir : request.WorkingDir;
  return {
    ociVersion: OCI_VERSION,
    ...(hostConfig.UTSMode === 'host' ? {} : { hostname: config.Hostname }),
    process: {
      terminal: request.Tty,
      ...(request.Tty && height > 0 && width > 0 ? { consoleSize: { height, width } } : {}),
      cwd: cwd === '' ? '/' : cwd,
      env: overrideEnv(processEnv({ ...config, Tty: request.Tty }, linkVariables(services, record)), request.Env ?? []),
      args: request.Cmd ?? [],
      rlimits: rlimitsOf(hostConfig, services.settings.containerDefaults.ulimits),
      ...(apparmor === '' || apparmor === 'unconfined' ? {} : { apparmorProfile: apparmor }),
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: options.noNewPrivileges ?? services.settings.noNewPrivileges,
      oomScoreAdj: hostConfig.OomScoreAdj,
      user: {
        uid: 0,
        gid: 0,
        username: user,
        additionalGroups: request.User === '' ? (hostConfig.GroupAdd ?? []) : [],
      },
    },
    linux: {
      ...idMappingsOf(record),
      namespaces: namespacesOf({ record, joined: {}, cgroupVersion: services.isolation.cgroups.version }),
      cgroupsPath: cgroupPathOf(services, record),
      ...(seccomp === undefined ? {} : { seccomp }),
    },
  };
}
