/** `info`, in docker's layout. A section that the daemon leaves empty is not printed. */
import { systemInfo } from '#api/client/system.ts';
import type { SystemInfo } from '#api/types/system.ts';
import { binarySize } from '#pkg/units/size.ts';
import { defineCommand } from '../command.ts';
import { inspectFormatFlag } from '../common-flags.ts';
import { describeFailure } from '../failure.ts';
import { goJson } from '../format/human.ts';
import { printTyped } from '../format/print-typed.ts';
import { VERSION } from '../version.ts';

const TYPES = { name: '', types: { '': 'system.dockerInfo' } };

export const info = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { format: inspectFormatFlag() },
  async run(context, { values }) {
    const own = { Version: VERSION, BunVersion: Bun.version };
    let server: SystemInfo;
    try {
      server = await systemInfo(context.client());
    } catch (error) {
      if (values.format === '') context.io.out(`${clientText(own)}\nServer:\n`);
      context.io.err(`${describeFailure(error)}\n`);
      return 1;
    }
    const all = { ...server, ClientInfo: own };
    if (values.format === 'json') context.io.out(`${goJson(all)}\n`);
    else if (values.format !== '') printTyped(context, values.format, all, TYPES);
    else {
      context.io.out(`${clientText(own)}\nServer:\n${serverLines(server).join('\n')}\n\n`);
      for (const warning of server.Warnings ?? []) context.io.err(`${warning}\n`);
    }
    return 0;
  },
});

function clientText(own: { readonly Version: string; readonly BunVersion: string }): string {
  return `Client: Berth\n Version:    ${own.Version}\n Bun:        ${own.BunVersion}\n`;
}

function serverLines(i: SystemInfo): string[] {
  const lines: string[] = [];
  const line = (label: string, value: unknown, depth = 1) =>
    lines.push(`${' '.repeat(depth)}${label}: ${String(value)}`);
  const some = (label: string, value: string | undefined) => {
    if (value !== undefined && value !== '') line(label, value);
  };
  line('Containers', i.Containers);
  line('Running', i.ContainersRunning, 2);
  line('Paused', i.ContainersPaused, 2);
  line('Stopped', i.ContainersStopped, 2);
  line('Images', i.Images);
  some('Server Version', i.ServerVersion);
  line('Storage Driver', i.Driver);
  for (const [key, value] of i.DriverStatus ?? []) line(key, value, 2);
  some('Logging Driver', i.LoggingDriver);
  some('Cgroup Driver', i.CgroupDriver);
  some('Cgroup Version', i.CgroupVersion);
  lines.push(' Plugins:');
  for (const label of ['Volume', 'Network', 'Authorization', 'Log'] as const) {
    const names = i.Plugins?.[label] ?? [];
    if (names.length > 0) line(label, names.join(' '), 2);
  }
  some('Swarm', i.Swarm?.LocalNodeState);
  const runtimes = Object.keys(i.Runtimes ?? {}).sort();
  if (runtimes.length > 0) line('Runtimes', runtimes.join(' '));
  some('Default Runtime', i.DefaultRuntime);
  some('Init Binary', i.InitBinary);
  some('containerd version', i.ContainerdCommit?.ID);
  some('runc version', i.RuncCommit?.ID);
  some('init version', i.InitCommit?.ID);
  if ((i.SecurityOptions ?? []).length > 0) {
    lines.push(' Security Options:');
    for (const option of i.SecurityOptions) lines.push(...securityLines(option));
  }
  line('Kernel Version', i.KernelVersion);
  line('Operating System', i.OperatingSystem);
  line('OSType', i.OSType);
  line('Architecture', i.Architecture);
  line('CPUs', i.NCPU);
  line('Total Memory', binarySize(i.MemTotal));
  line('Name', i.Name);
  line('ID', i.ID);
  line('Docker Root Dir', i.DockerRootDir);
  line('Debug Mode', i.Debug);
  if (i.Debug) {
    line('File Descriptors', i.NFd, 2);
    line('System Time', i.SystemTime, 2);
    line('EventsListeners', i.NEventsListener, 2);
  }
  some('HTTP Proxy', i.HttpProxy);
  some('HTTPS Proxy', i.HttpsProxy);
  some('No Proxy', i.NoProxy);
  if ((i.Labels ?? []).length > 0) lines.push(' Labels:', ...i.Labels.map((label) => `  ${label}`));
  line('Experimental', i.ExperimentalBuild);
  const insecure = i.RegistryConfig?.InsecureRegistryCIDRs ?? [];
  if (insecure.length > 0) lines.push(' Insecure Registries:', ...insecure.map((cidr) => `  ${cidr}`));
  line('Live Restore Enabled', i.LiveRestoreEnabled);
  if (i.FirewallBackend !== undefined) line('Firewall Backend', i.FirewallBackend.Driver);
  return lines;
}

/** `name=seccomp,profile=builtin` → two lines. */
function securityLines(option: string): string[] {
  const pairs = option.split(',').map((pair) => pair.split('='));
  const name = pairs.find(([key]) => key === 'name')?.[1] ?? option;
  const rest = pairs.filter(([key]) => key !== 'name');
  return [
    `  ${name}`,
    ...rest.map(([key = '', value = '']) => `   ${key.slice(0, 1).toUpperCase()}${key.slice(1)}: ${value}`),
  ];
}
