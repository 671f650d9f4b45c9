/** Gives every job token its handler: the list of what the daemon can do. */
import * as container from '#api/jobs/container.ts';
import * as disk from '#api/jobs/disk-usage.ts';
import { systemMetrics } from '#api/jobs/metrics.ts';
import * as network from '#api/jobs/network.ts';
import * as stats from '#api/jobs/stats.ts';
import { imageCommit } from '#api/jobs/image.ts';
import * as system from '#api/jobs/system.ts';
import { installBuildJobs } from './builder/jobs.ts';
import { installArtifactJobs } from './artifact/jobs.ts';
import { attachContainer } from './container/attach.ts';
import { createContainer } from './container/create.ts';
import { inspectContainer } from './container/inspect.ts';
import { listContainers } from './container/list.ts';
import { containerLogs } from './container/logs.ts';
import { searchLogs } from './container/search-logs.ts';
import { pauseContainer, unpauseContainer } from './container/pause.ts';
import { policyRestart } from './container/policy-restart.ts';
import { removeContainer } from './container/remove.ts';
import { renameContainer, resizeContainer } from './container/small-verbs.ts';
import { restartByPolicy, startContainer } from './container/start.ts';
import { killContainer, restartContainer, stopAll, stopContainer } from './container/stop.ts';
import { topContainer } from './container/top.ts';
import { waitForContainer } from './container/wait.ts';
import { createExec } from './exec/create.ts';
import { inspectExec, resizeExec } from './exec/inspect.ts';
import { startExec } from './exec/start.ts';
import { getArchive, putArchive, statPath } from './files/archive.ts';
import { commitContainer } from './files/commit.ts';
import { containerChanges } from './files/changes.ts';
import { exportContainer } from './files/export.ts';
import { installImageJobs } from './image/jobs.ts';
import { connectNetwork, disconnectNetwork } from './network/connect.ts';
import { auditPorts } from './network/audit.ts';
import { hostNames, setHostNames } from './network/host-names.ts';
import { createNetwork } from './network/create.ts';
import { inspectNetwork, listNetworks, pruneNetworks, removeNetwork } from './network/networks.ts';
import { updateNetwork } from './network/update.ts';
import { PruneLock } from './prune/conditions.ts';
import { pruneContainers } from './prune/containers.ts';
import { pruneImages } from './prune/images.ts';
import { installSecretJobs } from './secret/jobs.ts';
import type { JobMetrics } from '#engine/job-metrics.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { Services } from './services.ts';
import { containerStats, statsCollector } from './stats/stats.ts';
import { DiskUsageMeter } from './system/disk-usage.ts';
import { streamEvents } from './system/events.ts';
import { systemInfo } from './system/info.ts';
import { systemVersion } from './system/version.ts';
import { installVolumeJobs } from './volume/jobs.ts';
import { noteAsked, whyContainer } from './why/why.ts';

export function installJobs(services: Services, jobMetrics: JobMetrics): void {
  installContainerJobs(services);
  installExecJobs(services);
  installStatsJobs(services);
  installFileJobs(services);
  installImageJobs(services);
  installBuildJobs(services);
  installVolumeJobs(services);
  installDiskUsageJobs(services);
  installSecretJobs(services);
  installArtifactJobs(services);
  const { engine } = services;
  engine.register(system.systemInfo, () => systemInfo(services));
  let metrics: Metrics | undefined;
  engine.register(systemMetrics, async ({ server }) => {
    metrics ??= new (await import('./metrics/metrics.ts')).Metrics(services, jobMetrics);
    return metrics.text(server);
  });
  engine.register(system.systemVersion, () => systemVersion(services));
  engine.register(system.systemEvents, (input, { signal }) => streamEvents(services, input, signal));
  engine.register(system.systemShutdown, (_, { caller }) => {
    for (const [id] of services.live.all()) noteAsked(services, caller, 'shutdown', { container: id });
    return stopAll(services);
  });
  installNetworkJobs(services);
}

function installNetworkJobs(services: Services): void {
  const { engine } = services;
  engine.register(network.networkList, ({ filters }) => listNetworks(services, filters));
  engine.register(network.networkInspect, (input) => inspectNetwork(services, input.network));
  engine.register(network.networkCreate, ({ request }) => createNetwork(services, request));
  engine.register(network.networkRemove, (input) => removeNetwork(services, input.network));
  engine.register(network.networkConnect, (input) => connectNetwork(services, input));
  engine.register(network.networkDisconnect, (input) => disconnectNetwork(services, input));
  engine.register(network.portsAudit, () => auditPorts(services));
  engine.register(network.hostNamesShow, () => hostNames(services));
  engine.register(network.hostNamesSet, ({ request }) => setHostNames(services, request));
  engine.register(network.networkUpdate, ({ network: name, request }) => updateNetwork(services, name, request));
  engine.register(network.networkPrune, ({ filters }) => pruneNetworks(services, filters));
}

function installContainerJobs(services: Services): void {
  const { engine } = services;
  engine.register(container.containerCreate, (input, { signal }) => createContainer(services, input, signal));
  engine.register(container.containerList, (input) => listContainers(services, input));
  engine.register(container.containerInspect, (input) => inspectContainer(services, input));
  engine.register(container.containerStart, (input, { signal }) => startContainer(services, input.container, signal));
  engine.register(container.containerStop, (input, { caller }) => {
    noteAsked(services, caller, 'stop', input);
    return stopContainer(services, input);
  });
  engine.register(container.containerRestart, (input, { caller }) => {
    noteAsked(services, caller, 'restart', input);
    return restartContainer(services, input);
  });
  engine.register(container.containerKill, (input, { caller }) => {
    noteAsked(services, caller, 'kill', input);
    return killContainer(services, input.container, input.signal);
  });
  engine.register(container.containerWhy, (input) => whyContainer(services, input.container));
  engine.register(container.containerWait, (input, { signal }) => waitForContainer(services, input, signal));
  engine.register(container.containerRemove, (input, { caller }) => {
    if (input.force) noteAsked(services, caller, 'remove', { container: input.container });
    return removeContainer(services, input);
  });
  engine.register(container.containerPause, (input) => pauseContainer(services, input.container));
  engine.register(container.containerUnpause, (input) => unpauseContainer(services, input.container));
  engine.register(container.containerUpdate, async (input) => {
    const { updateContainer } = await import('./container/update.ts');
    return updateContainer(services, input.container, input.request);
  });
  engine.register(container.containerRename, (input) => renameContainer(services, input.container, input.name));
  engine.register(container.containerResize, (input) =>
    resizeContainer(services, input.container, input.height, input.width),
  );
  engine.register(container.logsSearch, (input, { signal }) => searchLogs(services, input, signal));
  engine.register(container.containerLogs, (input, { signal }) => containerLogs(services, input, signal));
  engine.register(container.containerAttach, (input, { signal }) => attachContainer(services, input, signal));
  engine.register(container.containerTop, (input) => topContainer(services, input.container, input.psArgs));
  engine.register(policyRestart, (input, { signal }) => restartByPolicy(services, input.container, signal));
}

function installDiskUsageJobs(services: Services): void {
  const { engine } = services;
  const meter = new DiskUsageMeter(services);
  const containers = new PruneLock();
  const images = new PruneLock();
  engine.register(disk.systemDiskUsage, ({ types }) => meter.measure(types));
  engine.register(disk.containerPrune, ({ filters }, { signal }) =>
    containers.run(() => pruneContainers(services, filters, signal)),
  );
  engine.register(disk.imagePrune, ({ filters }, { signal }) =>
    images.run(() => pruneImages(services, filters, signal)),
  );
}

function installStatsJobs(services: Services): void {
  const collector = statsCollector(services);
  services.engine.register(stats.containerStats, (input, { signal }) =>
    containerStats(services, collector, input, signal),
  );
}

function installFileJobs(services: Services): void {
  const { engine } = services;
  engine.register(imageCommit, (input, { signal }) => commitContainer(services, input, signal));
  engine.register(container.containerArchiveStat, (input, { signal }) => statPath(services, input, signal));
  engine.register(container.containerArchiveGet, (input, { signal }) => getArchive(services, input, signal));
  engine.register(container.containerArchivePut, (input, { signal }) => putArchive(services, input, signal));
  engine.register(container.containerChanges, (input) => containerChanges(services, input.container));
  engine.register(container.containerExport, (input, { signal }) => exportContainer(services, input, signal));
}

function installExecJobs(services: Services): void {
  const { engine } = services;
  engine.register(container.execCreate, (input) => createExec(services, input.container, input.request));
  engine.register(container.execStart, (input, { signal }) => startExec(services, input, signal));
  engine.register(container.execInspect, (input) => inspectExec(services, input.exec));
  engine.register(container.execResize, (input) => resizeExec(services, input.exec, input.height, input.width));
}
