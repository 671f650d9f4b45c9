/**
 * berthd: the composition root of the daemon. Configuration → lock → engine → daemon → API server → listeners → ready;
 * at SIGTERM the same backwards, while containers go on. Everything it wires lives elsewhere.
 */
import { VERSION } from '#client/version.ts';
import { ApiServer } from '#api/server/server.ts';
import type { DaemonConfig } from '#config/daemon-config.ts';
import { type DaemonCommandLine, daemonUsage, parseDaemonFlags } from '#config/flags.ts';
import { loadConfig } from '#config/load.ts';
import { type Daemon, startDaemon } from '#daemon/daemon.ts';
import { Engine } from '#engine/engine.ts';
import { JobMetrics } from '#engine/job-metrics.ts';
import { messageOf } from '#errdefs/errors.ts';
import { validateLogConfig } from '#logger/log-target.ts';
import { AuthorizationPlugins } from '#plugins/authorization.ts';
import { reluctantJit } from '#pkg/jit/jit.ts';
import { log, setLogFormat, setLogLevel } from '#pkg/log/log.ts';
import { buildFacts } from './berthd-build.ts';
import { call } from '#sys/call.ts';
import { NR } from '#sys/numbers.ts';
import { takeShortTurns } from '#sys/scheduling.ts';
import { openListeners, openMetricsListener } from './berthd-listeners.ts';
import { collector } from './berthd-memory.ts';
import { checkRegistry, openRegistry } from './berthd-registry.ts';
import { DATA_ROOT_MODE, EXEC_ROOT_MODE, lockDataRoot, lockExecRoot, makeRoot, writePidFile } from './berthd-roots.ts';
import { stopContainers } from './berthd-stop-containers.ts';
import { notify, startWatchdog, takeInheritedSockets } from './berthd-systemd.ts';

const DRAIN_MS = 10_000;

/** `berth daemon …`; resolves with the exit code when the daemon has ended. */
export async function daemonMain(argv: readonly string[]): Promise<number> {
  let line: DaemonCommandLine;
  let config: DaemonConfig;
  try {
    line = parseDaemonFlags(argv);
    if (line.help) {
      console.log(daemonUsage());
      return 0;
    }
    if (line.version) {
      console.log(`Berth version ${VERSION}`);
      return 0;
    }
    config = loadConfig(line);
    await checkRegistry(config);
    validateLogConfig({ type: config.logDriver, options: config.logOptions });
  } catch (error) {
    console.error(messageOf(error));
    return 1;
  }
  if (line.validate) {
    console.log('configuration OK');
    return 0;
  }
  try {
    if (line.stopContainers) await stopContainers(config);
    else await run(line, config);
  } catch (error) {
    if (!line.stopContainers) log.error('the daemon ends', { err: error });
    console.error(line.stopContainers ? messageOf(error) : `failed to start daemon: ${messageOf(error)}`);
    return line.stopContainers ? 1 : exitNow(1);
  }
  return line.stopContainers ? 0 : exitNow(0);
}

/** The runtime's own exit waits seconds for Workers that sit in epoll_wait; nothing of ours is left to be flushed. */
function exitNow(code: number): number {
  call(NR.exit_group, code);
  return code;
}

async function run(line: DaemonCommandLine, config: DaemonConfig): Promise<void> {
  if (process.geteuid?.() !== 0) throw new Error('berthd needs to be run as root');
  process.umask(0o022);
  reluctantJit();
  takeShortTurns();
  setLogLevel(config.logLevel);
  setLogFormat(config.engine.logFormat);
  for (const { key, reason } of config.withoutEffect) log.info('configuration without effect', { key, reason });
  const sockets = takeInheritedSockets(process.env);
  const ending = endingSignal();
  makeRoot(config.dataRoot, DATA_ROOT_MODE);
  makeRoot(config.execRoot, EXEC_ROOT_MODE);
  using _lock = lockDataRoot(config.dataRoot);
  using _execLock = lockExecRoot(config.execRoot);

  const collectSometimes = collector();
  const jobMetrics = new JobMetrics();
  const engine = new Engine({
    observer: {
      jobStarted: (record) => jobMetrics.jobStarted(record),
      jobEnded: (record) => {
        jobMetrics.jobEnded(record);
        logJob(record);
        collectSometimes();
      },
    },
  });
  const daemon = await startDaemon({ config, engine, jobMetrics, build: buildFacts(VERSION) });
  const { minApiMinor, experimental, buildkit } = config.engine;
  const builder = buildkit ? '2' : '1';
  const authority = new AuthorizationPlugins();
  const server = new ApiServer({ engine, version: VERSION, minApiMinor, experimental, builder, authority });
  const metricsServer = new ApiServer({ engine, version: VERSION, metricsOf: server });
  try {
    (await authority.prepare(config.authorizationPlugins))();
    await using _registry = await openRegistry(config);
    using _pidFile = writePidFile(config.pidfile);
    using listeners = await openListeners(config, server.accept, sockets);
    using _metrics = openMetricsListener(config, metricsServer.accept);
    let reloading = Promise.resolve();
    process.on('SIGHUP', () => {
      reloading = reloading.then(() => reload(line, daemon, authority));
    });
    notify(process.env, 'READY=1');
    log.info('API listens', { addresses: listeners.addresses });
    using _watchdog = startWatchdog(process.env);
    log.info('ending', { signal: await ending });
    notify(process.env, 'STOPPING=1');
  } finally {
    server.stop();
    metricsServer.stop();
    await engine.drain(DRAIN_MS);
    log.debug('jobs are done');
    await daemon.stop();
    log.debug('services have ended');
    server.terminate();
    metricsServer.terminate();
  }
}

/** The first SIGTERM or SIGINT; a third one ends at once, for whoever has no patience. */
function endingSignal(): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let count = 0;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      resolve(signal);
      if (++count >= 3) process.exit(1);
    });
  }
  process.on('unhandledRejection', (error) => log.error('unhandled rejection', { err: error }));
  return promise;
}

/** Reads the file again; a wrong one changes nothing. */
async function reload(line: DaemonCommandLine, daemon: Daemon, authority: AuthorizationPlugins): Promise<void> {
  try {
    const config = loadConfig(line);
    const authorize = await authority.prepare(config.authorizationPlugins);
    daemon.reload(config);
    authorize();
    setLogLevel(config.logLevel);
    log.info('configuration reloaded', { debug: config.debug, labels: config.labels });
  } catch (error) {
    log.error('the configuration was not reloaded', { err: error });
  }
}

function logJob(record: { id: string; name: string; subject: string; status: string; durationMs?: number }): void {
  const { id, name, subject, status, durationMs } = record;
  log.debug('job ended', { job: id, name, subject, status, durationMs });
}

if (import.meta.main) process.exit(await daemonMain(process.argv.slice(2)));
