/**
 * Every command once: its names, what it does, and the file that has it. A command's file is loaded only when it is
 * run or asked for help, so that `berth ps` does not pay for `berth run`.
 */
import type { CommandTable, Found, TableEntry } from './command.ts';
import { IMAGE_COMMANDS } from './command-table-images.ts';
import { DATA_COMMANDS } from './command-table-data.ts';

export const GROUPS: Readonly<Record<string, string>> = {
  artifact: 'Manage OCI artifacts',
  builder: 'Manage builds',
  container: 'Manage containers',
  context: 'Manage contexts',
  image: 'Manage images',
  jobs: 'Show and cancel what the daemon is doing',
  manifest: 'Manage image manifests and lists of them',
  network: 'Manage networks',
  ports: 'Show who can reach published ports',
  quadlet: 'Make systemd units from .container, .volume and .network files',
  secret: 'Manage secrets of this host',
  system: 'Manage Berth',
  volume: 'Manage volumes',
};

export const COMMANDS: readonly TableEntry[] = [
  ...DATA_COMMANDS,
  ...IMAGE_COMMANDS,
  {
    names: ['completion'],
    summary: 'Generate the autocompletion script for the specified shell',
    load: async () => (await import('./completion/command.ts')).completion,
  },
  {
    names: ['container attach', 'attach'],
    summary: 'Attach local standard input, output, and error streams to a running container',
    load: async () => (await import('./container/attach.ts')).attach,
  },
  {
    names: ['container commit', 'commit'],
    summary: "Create a new image from a container's changes",
    load: async () => (await import('./container/commit.ts')).commit,
  },
  {
    names: ['container cp', 'cp'],
    summary: 'Copy files/folders between a container and the local filesystem',
    load: async () => (await import('./copy/cp.ts')).cp,
  },
  {
    names: ['container create', 'create'],
    summary: 'Create a new container',
    load: async () => (await import('./container/create.ts')).create,
  },
  {
    names: ['container diff', 'diff'],
    summary: "Inspect changes to files or directories on a container's filesystem",
    load: async () => (await import('./container/diff.ts')).diff,
  },
  {
    names: ['container exec', 'exec'],
    summary: 'Execute a command in a running container',
    common: true,
    load: async () => (await import('./container/exec.ts')).exec,
  },
  {
    names: ['container export', 'export'],
    summary: "Export a container's filesystem as a tar archive",
    load: async () => (await import('./container/export.ts')).exportCommand,
  },
  {
    names: ['container inspect'],
    summary: 'Display detailed information on one or more containers',
    load: async () => (await import('./system/inspect.ts')).inspectContainers,
  },
  {
    names: ['container kill', 'kill'],
    summary: 'Kill one or more running containers',
    load: async () => (await import('./container/signals.ts')).kill,
  },
  {
    names: ['container logs', 'logs'],
    summary: 'Fetch the logs of a container',
    load: async () => (await import('./container/logs.ts')).logs,
  },
  {
    names: ['container ls', 'container list', 'container ps', 'ps'],
    summary: 'List containers',
    common: true,
    load: async () => (await import('./container/ls.ts')).ls,
  },
  {
    names: ['container pause', 'pause'],
    summary: 'Pause all processes within one or more containers',
    load: async () => (await import('./container/signals.ts')).pause,
  },
  {
    names: ['container port', 'port'],
    summary: 'List port mappings or a specific mapping for the container',
    load: async () => (await import('./container/port.ts')).port,
  },
  {
    names: ['container prune'],
    summary: 'Remove all stopped containers',
    load: async () => (await import('./system/prune.ts')).containerPrune,
  },
  {
    names: ['container rename', 'rename'],
    summary: 'Rename a container',
    load: async () => (await import('./container/signals.ts')).rename,
  },
  {
    names: ['container restart', 'restart'],
    summary: 'Restart one or more containers',
    load: async () => (await import('./container/stop.ts')).restart,
  },
  {
    names: ['container rm', 'container remove', 'rm'],
    summary: 'Remove one or more containers',
    load: async () => (await import('./container/rm.ts')).rm,
  },
  {
    names: ['container run', 'run'],
    summary: 'Create and run a new container from an image',
    common: true,
    load: async () => (await import('./container/run.ts')).run,
  },
  {
    names: ['container start', 'start'],
    summary: 'Start one or more stopped containers',
    load: async () => (await import('./container/start.ts')).start,
  },
  {
    names: ['container stats', 'stats'],
    summary: 'Display a live stream of container(s) resource usage statistics',
    load: async () => (await import('./container/stats.ts')).stats,
  },
  {
    names: ['container stop', 'stop'],
    summary: 'Stop one or more running containers',
    load: async () => (await import('./container/stop.ts')).stop,
  },
  {
    names: ['container top', 'top'],
    summary: 'Display the running processes of a container',
    load: async () => (await import('./container/top.ts')).top,
  },
  {
    names: ['container unpause', 'unpause'],
    summary: 'Unpause all processes within one or more containers',
    load: async () => (await import('./container/signals.ts')).unpause,
  },
  {
    names: ['container update', 'update'],
    summary: 'Update configuration of one or more containers',
    load: async () => (await import('./container/update.ts')).update,
  },
  {
    names: ['container wait', 'wait'],
    summary: 'Block until one or more containers stop, then print their exit codes',
    load: async () => (await import('./container/wait.ts')).wait,
  },
  {
    names: ['context create'],
    summary: 'Create a context',
    load: async () => (await import('./context/commands.ts')).create,
  },
  {
    names: ['context export'],
    summary: 'Export a context to a tar archive FILE or a tar stream on STDOUT.',
    load: async () => (await import('./context/commands.ts')).exportContext,
  },
  {
    names: ['context import'],
    summary: 'Import a context from a tar archive',
    load: async () => (await import('./context/commands.ts')).importContext,
  },
  {
    names: ['context inspect'],
    summary: 'Display detailed information on one or more contexts',
    load: async () => (await import('./context/commands.ts')).inspect,
  },
  {
    names: ['context ls', 'context list'],
    summary: 'List contexts',
    load: async () => (await import('./context/commands.ts')).ls,
  },
  {
    names: ['context rm', 'context remove'],
    summary: 'Remove one or more contexts',
    load: async () => (await import('./context/commands.ts')).rm,
  },
  {
    names: ['context show'],
    summary: 'Print the name of the current context',
    load: async () => (await import('./context/commands.ts')).show,
  },
  {
    names: ['context update'],
    summary: 'Update a context',
    load: async () => (await import('./context/commands.ts')).update,
  },
  {
    names: ['context use'],
    summary: 'Set the current docker context',
    load: async () => (await import('./context/commands.ts')).use,
  },
  {
    names: ['debug'],
    summary: 'Open a shell with tools beside a container that has none, or on an image',
    load: async () => (await import('./debug/debug.ts')).debug,
  },
  {
    names: ['doctor'],
    summary: 'Check this machine and the daemon: what fails, why it matters, what mends it',
    load: async () => (await import('./doctor/doctor.ts')).doctor,
  },
  {
    names: ['container why', 'why'],
    summary: 'Tell what ended a container, also one that has been removed',
    load: async () => (await import('./container/why.ts')).why,
  },
  {
    names: ['jobs ls', 'jobs list', 'jobs'],
    summary: 'List what the daemon is doing and has done',
    load: async () => (await import('./system/jobs.ts')).jobs,
  },
  {
    names: ['jobs cancel'],
    summary: 'Cancel running jobs',
    load: async () => (await import('./system/jobs.ts')).cancelJobs,
  },
  {
    names: ['install'],
    summary: 'Put Berth on this machine: program, units, completion, manual pages',
    load: async () => (await import('./install/install.ts')).install,
  },
  {
    names: ['uninstall'],
    summary: 'Take away what install put on this machine',
    load: async () => (await import('./install/install.ts')).uninstall,
  },
  {
    names: ['network connect'],
    summary: 'Connect a container to a network',
    load: async () => (await import('./network/connect.ts')).connect,
  },
  {
    names: ['network create'],
    summary: 'Create a network',
    load: async () => (await import('./network/create.ts')).create,
  },
  {
    names: ['network disconnect'],
    summary: 'Disconnect a container from a network',
    load: async () => (await import('./network/connect.ts')).disconnect,
  },
  {
    names: ['network graph'],
    summary: 'Show networks, containers, addresses and ports as a tree or a drawing',
    load: async () => (await import('./network/graph.ts')).graph,
  },
  {
    names: ['network inspect'],
    summary: 'Display detailed information on one or more networks',
    load: async () => (await import('./system/inspect.ts')).inspectNetworks,
  },
  {
    names: ['network ls', 'network list'],
    summary: 'List networks',
    load: async () => (await import('./network/ls.ts')).ls,
  },
  {
    names: ['network prune'],
    summary: 'Remove all unused networks',
    load: async () => (await import('./network/connect.ts')).prune,
  },
  {
    names: ['network resolve'],
    summary: 'Let the host find containers by NAME.NETWORK.berth.internal',
    load: async () => (await import('./network/resolve.ts')).resolve,
  },
  {
    names: ['network rm', 'network remove'],
    summary: 'Remove one or more networks',
    load: async () => (await import('./network/connect.ts')).rm,
  },
  {
    names: ['network update'],
    summary: 'Change what may be reached from a network, while containers are on it',
    load: async () => (await import('./network/update.ts')).update,
  },
  {
    names: ['ports audit'],
    summary: 'Show who can reach published ports, and why',
    load: async () => (await import('./ports/audit.ts')).audit,
  },
  {
    names: ['quadlet generate'],
    summary: 'Write the units of all quadlet files: a systemd generator',
    load: async () => (await import('./quadlet/generate-command.ts')).generate,
  },
  {
    names: ['system dial-stdio'],
    summary: 'Proxy the stdio stream to the daemon connection',
    hidden: true,
    load: async () => (await import('./system/dial-stdio.ts')).dialStdio,
  },
  {
    names: ['system df'],
    summary: 'Show disk usage',
    load: async () => (await import('./system/df.ts')).df,
  },
  {
    names: ['system events', 'events'],
    summary: 'Get real time events from the server',
    load: async () => (await import('./system/events.ts')).events,
  },
  {
    names: ['system info', 'info'],
    summary: 'Display system-wide information',
    common: true,
    load: async () => (await import('./system/info.ts')).info,
  },
  {
    names: ['system prune'],
    summary: 'Remove unused data',
    load: async () => (await import('./system/prune.ts')).systemPrune,
  },
  {
    names: ['inspect'],
    summary: 'Return low-level information on Docker objects',
    load: async () => (await import('./system/inspect.ts')).inspect,
  },
  {
    names: ['version'],
    summary: 'Show the Berth version information',
    common: true,
    load: async () => (await import('./system/version.ts')).version,
  },
];

/** The longest name that the words begin with. */
export function findCommand(words: readonly string[]): Found | undefined {
  for (const length of [3, 2, 1]) {
    const path = words.slice(0, length).join(' ');
    const entry = words.length >= length ? COMMANDS.find((one) => one.names.includes(path)) : undefined;
    if (entry !== undefined) return { entry, path, rest: words.slice(length) };
  }
  return undefined;
}

export const COMMAND_TABLE: CommandTable = { groups: GROUPS, entries: COMMANDS, find: findCommand };
