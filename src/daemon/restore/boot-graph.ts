/**
 * Which container waits for which: what Compose wrote on its containers (`depends_on` with its conditions) and namespaces
 * that one shares with another. The daemon honours it when it starts containers by itself, and backwards when the system
 * goes down. What closes a circle or is not there is left out: an order is wished for, never a reason not to start.
 */
import type { ContainerRecord } from '#container/record.ts';
import { isRunning } from '#container/state.ts';
import { containerOfMode } from '#container/validate.ts';
import { healthPlanOf } from '#container/health.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';

export type Condition = 'started' | 'healthy' | 'completed';

export interface Dependency {
  readonly id: string;
  readonly condition: Condition;
}

/** By container; only such as have some. */
export type BootGraph = ReadonlyMap<string, readonly Dependency[]>;

const PROJECT = 'com.docker.compose.project';
const SERVICE = 'com.docker.compose.service';
const ONE_OFF = 'com.docker.compose.oneoff';
const DEPENDS_ON = 'com.docker.compose.depends_on';
/** How long a container waits for what it depends on before it is started all the same. */
const WAIT_MS = 60_000;
/** A dependency may take longer to become healthy by its own Healthcheck; not longer than this. */
const WAIT_MS_MAX = 300_000;

type Wanted = Pick<ContainerRecord, 'id' | 'name' | 'config' | 'hostConfig'>;

export function bootGraph(records: readonly Wanted[]): BootGraph {
  const wished = new Map(records.map((record) => [record.id, dependenciesOf(record, records)]));
  return withoutCircles(wished);
}

/** `db:service_healthy:false,cache` → [['db', 'healthy'], ['cache', 'started']]. */
export function composeDependencies(label: string): [service: string, condition: Condition][] {
  return label
    .split(',')
    .filter((entry) => entry !== '')
    .map((entry) => {
      const [service = '', condition = ''] = entry.trim().split(':');
      if (condition === 'service_healthy') return [service, 'healthy'];
      return [service, condition === 'service_completed_successfully' ? 'completed' : 'started'];
    });
}

function dependenciesOf(record: Wanted, records: readonly Wanted[]): Dependency[] {
  const found = new Map<string, Condition>();
  const { hostConfig } = record;
  for (const mode of [hostConfig.NetworkMode, hostConfig.PidMode, hostConfig.IpcMode]) {
    const other = containerOfMode(mode);
    const owner = other === undefined ? undefined : records.find((r) => r.id.startsWith(other) || r.name === other);
    if (owner !== undefined) found.set(owner.id, 'started');
  }
  const labels = record.config.Labels ?? {};
  const project = labels[PROJECT];
  for (const [service, condition] of project === undefined ? [] : composeDependencies(labels[DEPENDS_ON] ?? '')) {
    for (const other of records) {
      const own = other.config.Labels ?? {};
      if (own[PROJECT] !== project || own[SERVICE] !== service || own[ONE_OFF]?.toLowerCase() === 'true') continue;
      found.set(other.id, condition);
    }
  }
  found.delete(record.id);
  return [...found].map(([id, condition]) => ({ id, condition }));
}

/** Edges that lead back to where a walk came from are dropped. */
function withoutCircles(wished: ReadonlyMap<string, readonly Dependency[]>): BootGraph {
  const graph = new Map<string, Dependency[]>();
  const done = new Set<string>();
  const above = new Set<string>();
  const walk = (id: string): void => {
    if (done.has(id)) return;
    above.add(id);
    const kept = (wished.get(id) ?? []).filter((dependency) => {
      if (above.has(dependency.id)) {
        log.warn('containers depend on each other in a circle', { container: id, on: dependency.id });
        return false;
      }
      walk(dependency.id);
      return true;
    });
    above.delete(id);
    done.add(id);
    if (kept.length > 0) graph.set(id, kept);
  };
  for (const id of wished.keys()) walk(id);
  return graph;
}

/** Who depends on each. */
export function dependents(graph: BootGraph): Map<string, string[]> {
  const reversed = new Map<string, string[]>();
  for (const [id, dependencies] of graph) {
    for (const { id: on } of dependencies) reversed.set(on, [...(reversed.get(on) ?? []), id]);
  }
  return reversed;
}

type Verdict = 'met' | 'waits' | 'never';

/**
 * Containers that the daemon is about to start. `started` is told of each that has been (or could not be); `ready` waits
 * for the dependencies of one, as long as there is a point in it and not for ever.
 */
export class BootOrder {
  readonly #services: Services;
  readonly #graph: BootGraph;
  readonly #coming: Set<string>;
  readonly #changed = new Set<() => void>();

  constructor(services: Services, coming: readonly string[]) {
    this.#services = services;
    this.#coming = new Set(coming);
    this.#graph = bootGraph(services.containers.all());
  }

  started(id: string): void {
    this.#coming.delete(id);
    for (const wake of this.#changed) wake();
  }

  async ready(id: string, signal: AbortSignal): Promise<void> {
    const dependencies = this.#graph.get(id) ?? [];
    if (dependencies.length === 0) return;
    const limit = performance.now() + this.#limitMs(dependencies);
    let wake: () => void = () => undefined;
    const changed = (): void => wake();
    this.#changed.add(changed);
    using _ = this.#services.events.subscribe(changed);
    try {
      for (;;) {
        const waiting = dependencies.filter((dependency) => this.#verdict(id, dependency) === 'waits');
        const leftMs = limit - performance.now();
        if (waiting.length === 0 || signal.aborted) return;
        if (leftMs <= 0) {
          log.warn('a container is started without what it depends on', {
            container: id,
            on: waiting.map((w) => w.id),
          });
          return;
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const over = new AbortController();
        await Promise.race([promise, this.#services.tasks.sleep(leftMs, AbortSignal.any([signal, over.signal]))]);
        over.abort();
      }
    } finally {
      this.#changed.delete(changed);
    }
  }

  #limitMs(dependencies: readonly Dependency[]): number {
    const own = dependencies.map(({ id, condition }) => {
      const record = this.#services.containers.get(id);
      const plan = condition === 'healthy' ? healthPlanOf(record?.config.Healthcheck) : undefined;
      if (plan === undefined) return 0;
      return plan.startPeriodMs + (plan.intervalMs + plan.timeoutMs) * (plan.retries + 1);
    });
    return Math.min(WAIT_MS_MAX, Math.max(WAIT_MS, ...own));
  }

  #verdict(of: string, { id, condition }: Dependency): Verdict {
    const record = this.#services.containers.get(id);
    if (record === undefined) return 'never';
    const { state } = record;
    if (condition === 'completed') {
      if (isRunning(state) || this.#coming.has(id)) return 'waits';
      if (state.exitCode !== 0)
        log.warn('a dependency has failed', { container: of, on: id, exitCode: state.exitCode });
      return state.status === 'restarting' ? 'waits' : 'met';
    }
    if (!isRunning(state)) return this.#coming.has(id) || state.status === 'restarting' ? 'waits' : 'never';
    if (condition === 'started') return 'met';
    const health = this.#services.health.healthOf(record);
    return health === undefined || health.status === 'healthy' ? 'met' : 'waits';
  }
}
