/**
 * Watches containers with a memory limit for processes that are killed for it: told when it happens, of an exec's process
 * as well as of the first one, with what was used and who was killed.
 */
import type { OomFacts } from '#api/types/why.ts';
import type { ContainerRecord } from '#container/record.ts';
import { nowNs, rfc3339 } from '#pkg/clock/clock.ts';
import { log } from '#pkg/log/log.ts';
import { publishContainerEvent } from '../container/event.ts';
import type { LiveContainer } from '../container/live.ts';
import type { Services } from '../services.ts';

/** v1 tells before it kills: the count is looked at again after each of these. */
const COUNTED_AFTER_MS = [5, 20, 100, 400];

/** Nothing to watch: undefined. */
export function watchOom(services: Services, record: ContainerRecord, live: LiveContainer): Disposable | undefined {
  if (record.hostConfig.Memory === 0 || record.hostConfig.OomKillDisable === true) return undefined;
  try {
    let looking = false;
    return live.driver.cgroupOf(record.id).watchOom(() => {
      if (looking) return;
      looking = true;
      services.tasks.spawn(
        'oom',
        async (signal) => {
          for (const ms of [0, ...COUNTED_AFTER_MS]) {
            if (ms > 0 && !(await services.tasks.sleep(ms, signal))) break;
            if (live.driver.cgroupOf(record.id).oomKills() > live.oomKills) break;
          }
          looking = false;
          await noteOom(services, record.id, live);
        },
        { container: record.id },
      );
    });
  } catch (error) {
    log.warn('a container is not watched for OOM', { container: record.id, err: error });
    return undefined;
  }
}

/** A running container may have been given a limit. */
export function rewatchOom(services: Services, record: ContainerRecord): void {
  const live = services.live.get(record.id);
  if (live !== undefined) live.oomWatch ??= watchOom(services, record, live);
}

async function noteOom(services: Services, id: string, live: LiveContainer): Promise<void> {
  await services.containers.run(id, (held) => {
    if (services.live.get(id) !== live || !tellOom(services, held.record, live)) return;
    held.note({ state: { ...held.record.state, oomKilled: true } });
  });
}

/** Event and facts of kills that have not been told yet; false when there are none. Its group must still be there. */
export function tellOom(services: Services, record: ContainerRecord, live: LiveContainer): boolean {
  const kills = live.driver.cgroupOf(record.id).oomKills();
  if (kills <= live.oomKills) return false;
  live.oomKills = kills;
  publishContainerEvent(services.events, record, 'oom');
  const facts = factsOf(services, record, live, kills);
  services.endings.oom(record, facts);
  log.warn('a container ran out of memory', { container: record.id, ...facts });
  return true;
}

function factsOf(services: Services, record: ContainerRecord, live: LiveContainer, kills: number): OomFacts {
  const { memory } = live.driver.cgroupOf(record.id).stats();
  const killed = services.oomKillOf(record.id);
  const used = memory.maxUsageBytes ?? memory.usageBytes;
  return {
    At: rfc3339(nowNs()),
    ...(killed === undefined ? {} : { Process: killed.name }),
    ...(killed?.rssBytes === undefined ? {} : { RssBytes: killed.rssBytes }),
    ...(memory.limitBytes === undefined ? {} : { LimitBytes: Number(memory.limitBytes) }),
    UsageBytes: Number(used),
    Kills: kills,
  };
}
