/**
 * /metrics: the engine, the process, and every running container. Everything is read when somebody asks; whoever asks
 * at the same time gets the same text.
 */
import * as fs from 'node:fs';
import type { ServerFacts } from '#api/jobs/metrics.ts';
import { containerStatuses } from '#container/state.ts';
import { durationBounds, type JobMetrics } from '#engine/job-metrics.ts';
import { type HistogramSample, MetricsText } from '#pkg/openmetrics/openmetrics.ts';
import type { Services } from '../services.ts';
import { readContainers, writeContainers } from './containers.ts';

export class Metrics {
  readonly #services: Services;
  readonly #jobs: JobMetrics;
  #underWay: Promise<string> | undefined;

  constructor(services: Services, jobs: JobMetrics) {
    this.#services = services;
    this.#jobs = jobs;
  }

  text(server: ServerFacts): Promise<string> {
    this.#underWay ??= this.#read(server).finally(() => (this.#underWay = undefined));
    return this.#underWay;
  }

  async #read(server: ServerFacts): Promise<string> {
    const out = new MetricsText();
    const containers = await readContainers(this.#services);
    this.#writeEngine(out, server);
    writeProcess(out, this.#services);
    writeContainers(out, containers);
    return out.end();
  }

  #writeEngine(out: MetricsText, server: ServerFacts): void {
    const { build, host, daemonId, containers, images, volumes, events } = this.#services;
    out.info('berth_build', 'This daemon and its host.', {
      version: build.version,
      commit: build.commit,
      kernel: host.kernel,
      os: host.operatingSystem,
      daemon_id: daemonId,
    });
    const tallies = [...this.#jobs.tallies()];
    out.counter(
      'berth_jobs',
      'Jobs that have ended, by name and outcome.',
      tallies.flatMap(([job, { ended }]) => [...ended].map(([status, value]) => ({ labels: { job, status }, value }))),
    );
    out.gauge(
      'berth_jobs_running',
      'Jobs that are under way.',
      tallies.map(([job, { running }]) => ({ labels: { job }, value: running })),
    );
    out.histogram(
      'berth_job_duration_seconds',
      'How long jobs took.',
      tallies.map(([job, { counts, seconds }]) => histogramOf({ job }, counts, seconds)),
    );
    out.counter(
      'berth_http_requests',
      'Requests by operation.',
      [...server.requests].map(([key, value]) => {
        const [method = '', path = ''] = key.split(' ');
        return { labels: { method, path }, value };
      }),
    );
    out.gauge('berth_http_connections', 'Open connections to the API.', one(server.connections));
    const records = containers.all();
    out.gauge(
      'berth_containers',
      'Containers by state.',
      containerStatuses.map((state) => ({
        labels: { state },
        value: records.filter((record) => record.state.status === state).length,
      })),
    );
    out.gauge('berth_images', 'Images.', one(images.list().length));
    out.gauge('berth_volumes', 'Volumes.', one(volumes.list().length));
    out.gauge('berth_event_listeners', 'Clients that follow events.', one(events.listenerCount));
  }
}

const one = (value: number) => [{ labels: {}, value }];

function histogramOf(
  labels: Readonly<Record<string, string>>,
  counts: readonly number[],
  sum: number,
): HistogramSample {
  let below = 0;
  const buckets = durationBounds.map((bound, index): [number, number] => {
    below += counts[index] ?? 0;
    return [bound, below];
  });
  return { labels, buckets, count: below + (counts[durationBounds.length] ?? 0), sum };
}

/** The daemon as a process, in the names that Prometheus' clients use. */
function writeProcess(out: MetricsText, services: Services): void {
  const { user, system } = process.cpuUsage();
  out.counter('process_cpu_seconds', 'Processor time of the daemon.', one((user + system) / 1e6));
  out.gauge('process_resident_memory_bytes', 'Memory of the daemon.', one(process.memoryUsage.rss()));
  out.gauge('process_open_fds', 'Descriptors of the daemon.', one(fs.readdirSync('/proc/self/fd').length));
  out.gauge('process_threads', 'Threads of the daemon.', one(fs.readdirSync('/proc/self/task').length));
  const started = Date.parse(services.startedAt) / 1000;
  out.gauge('process_start_time_seconds', 'When the daemon started.', one(started));
}
