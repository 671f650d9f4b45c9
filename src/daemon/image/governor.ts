/**
 * Keeps the disk in the bounds of the configuration (`images.budget`): looked at some time after images have changed,
 * and now and then when there is a limit that time or others bring nearer. What it removes can be brought back as long as
 * the trash keeps it, but for want of room the trash goes first.
 */
import * as fs from 'node:fs';
import { type BudgetLimits, type BudgetPlan, planBudget } from '#graph/budget.ts';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';
import { imageGroups, layerSizes } from './groups.ts';
import { removeWhole } from './remove.ts';

const AFTER_CHANGE_MS = 2000;
const REGULARLY_MS = 15 * 60_000;

export class ImageGovernor implements Disposable {
  readonly #services: Services;
  #soon: NodeJS.Timeout | undefined;
  #regular: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #running: Promise<BudgetPlan> | undefined;

  constructor(services: Services) {
    this.#services = services;
    services.images.onChange(() => this.#changed());
    this.reconfigure();
  }

  /** The configuration has changed. */
  reconfigure(): void {
    clearInterval(this.#regular);
    if (hasLimits(this.#services)) {
      this.#regular = setInterval(() => this.#later(), REGULARLY_MS);
      this.#regular.unref();
    }
    this.#changed();
  }

  /** What would go now. */
  plan(): BudgetPlan {
    const { images } = this.#services;
    const state = {
      images: imageGroups(this.#services),
      layerSizes: layerSizes(this.#services),
      freeBytes: freeBytes(this.#services),
      nowMs: images.now().getTime(),
    };
    return planBudget(state, limitsOf(this.#services));
  }

  /** Removes what has to go; whoever asks meanwhile gets the same answer. */
  enforce(signal: AbortSignal): Promise<BudgetPlan> {
    this.#running ??= this.#enforce(signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#soon);
    clearTimeout(this.#expiry);
    clearInterval(this.#regular);
  }

  async #enforce(signal: AbortSignal): Promise<BudgetPlan> {
    const { graph } = this.#services;
    const first = this.plan();
    const needsRoom = first.evictions.some(({ reason }) => reason !== 'age') || first.unmet.length > 0;
    if (graph.trash.expire(needsRoom) > 0) await graph.collect();
    const plan = needsRoom ? this.plan() : first;
    const batch = graph.trash.batch('budget');
    for (const { id, reason, bytes } of plan.evictions) {
      if (signal.aborted) break;
      if (!this.#services.images.has(id)) continue;
      const { tags } = this.#services.images.get(id);
      await removeWhole(this.#services, id, batch);
      log.info('an image went to keep the disk in bounds', { image: id, tags: tags.join(' '), reason, bytes });
    }
    if (plan.unmet.length > 0) log.warn('images are over their budget', { limits: plan.unmet.join(', ') });
    return plan;
  }

  #changed(): void {
    const { graph } = this.#services;
    clearTimeout(this.#expiry);
    const next = graph.trash.nextMs();
    if (next !== undefined) {
      this.#expiry = setTimeout(() => this.#expire(), Math.min(next + 1, 2 ** 31 - 1));
      this.#expiry.unref();
    }
    if (!hasLimits(this.#services) || this.#soon !== undefined) return;
    this.#soon = setTimeout(() => {
      this.#soon = undefined;
      this.#later();
    }, AFTER_CHANGE_MS);
    this.#soon.unref();
  }

  #later(): void {
    this.#services.tasks.spawn('image budget', async (signal) => {
      await this.enforce(signal);
    });
  }

  #expire(): void {
    this.#services.tasks.spawn('image trash', async () => {
      if (this.#services.graph.trash.expire() > 0) await this.#services.graph.collect();
      this.#changed();
    });
  }
}

function hasLimits({ settings }: Services): boolean {
  const { sizeBytesMax, freeBytesMin, freeShareMin, ageMsMax } = settings.images.budget;
  return [sizeBytesMax, freeBytesMin, freeShareMin, ageMsMax].some((limit) => limit !== undefined);
}

function limitsOf({ settings }: Services): BudgetLimits {
  const { budget } = settings.images;
  if (budget.freeShareMin === undefined) return budget;
  const { blocks, bsize } = fs.statfsSync(settings.dataRoot);
  return { ...budget, freeBytesMin: Math.floor(blocks * bsize * budget.freeShareMin) };
}

function freeBytes({ settings }: Services): number {
  try {
    const { bavail, bsize } = fs.statfsSync(settings.dataRoot);
    return bavail * bsize;
  } catch (error) {
    log.warn('the free space of the data root is not known', { err: messageOf(error) });
    return Number.POSITIVE_INFINITY;
  }
}
