/** The key `images`: how images are kept, named and trusted. Berth's own. */
import { invalidParameter } from '#errdefs/errors.ts';
import { parseDuration } from '#pkg/units/duration.ts';
import { parseBytes } from '#pkg/units/size.ts';
import type { ConfigValue } from './values.ts';

export interface ImageBudget {
  /** All layers and blobs together; undefined: no limit. */
  readonly sizeBytesMax: number | undefined;
  /** On the file system of the data root. */
  readonly freeBytesMin: number | undefined;
  /** Share of the file system, 0 … 1. */
  readonly freeShareMin: number | undefined;
  /** Since an image was last used. */
  readonly ageMsMax: number | undefined;
  /** Tags of each repository that stay, the newest. */
  readonly keepLast: number;
}

export interface ImageSettings {
  readonly budget: ImageBudget;
  /** How long removed images can be brought back; 0: not at all. */
  readonly trashMs: number;
  /** '' for none. */
  readonly policyFile: string;
  readonly requireDigest: boolean;
  /** '' for none. */
  readonly registriesFile: string;
  /** Archives of layers that lie in a registry as well stay here. */
  readonly keepBlobs: boolean;
}

const NANOSECONDS_PER_MS = 1_000_000n;

/** Errors: invalid-parameter naming the option. */
export function imageSettingsOf(value: ConfigValue | undefined): ImageSettings {
  const fields = fieldsOf('images', value);
  const budget = fieldsOf('images: budget', fields.take('budget'));
  const freeMin = budget.take('min-free');
  const share = typeof freeMin === 'string' ? /^([0-9]{1,2}(?:\.[0-9]+)?)%$/.exec(freeMin)?.[1] : undefined;
  const settings = {
    budget: {
      sizeBytesMax: budget.bytes('max-size'),
      freeShareMin: share === undefined ? undefined : Number(share) / 100,
      freeBytesMin:
        freeMin === undefined || share !== undefined ? undefined : bytesOf('images: budget', 'min-free', freeMin),
      ageMsMax: budget.duration('max-age'),
      keepLast: budget.count('keep-last') ?? 0,
    },
    trashMs: fields.duration('trash') ?? 0,
    policyFile: fields.path('policy'),
    requireDigest: fields.flag('require-digest') ?? false,
    registriesFile: fields.path('registries-conf'),
    keepBlobs: fields.flag('keep-blobs') ?? true,
  };
  budget.end();
  fields.end();
  return settings;
}

function bytesOf(place: string, name: string, value: unknown): number {
  try {
    return parseBytes(typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '');
  } catch (cause) {
    throw wrong(place, name, value, cause);
  }
}

const wrong = (place: string, name: string, value: unknown, cause?: unknown) =>
  invalidParameter(`invalid value for "${place}": ${name}: ${JSON.stringify(value)}`, { cause });

function fieldsOf(place: string, value: unknown) {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (value !== undefined && !isObject) throw invalidParameter(`invalid value for "${place}": must be an object`);
  const left = new Map<string, unknown>(Object.entries(value ?? {}));
  const take = (name: string): unknown => {
    const found = left.get(name);
    left.delete(name);
    return found;
  };
  return {
    take,
    bytes: (name: string): number | undefined => {
      const found = take(name);
      return found === undefined ? undefined : bytesOf(place, name, found);
    },
    duration: (name: string): number | undefined => {
      const found = take(name);
      if (found === undefined) return undefined;
      try {
        const ms = Number(parseDuration(typeof found === 'string' ? found : '') / NANOSECONDS_PER_MS);
        if (ms >= 0) return ms;
      } catch (cause) {
        throw wrong(place, name, found, cause);
      }
      throw wrong(place, name, found);
    },
    count: (name: string): number | undefined => {
      const found = take(name);
      if (found === undefined || (typeof found === 'number' && Number.isSafeInteger(found) && found >= 0)) return found;
      throw wrong(place, name, found);
    },
    flag: (name: string): boolean | undefined => {
      const found = take(name);
      if (found === undefined || typeof found === 'boolean') return found;
      throw wrong(place, name, found);
    },
    path: (name: string): string => {
      const found = take(name) ?? '';
      if (typeof found === 'string' && (found === '' || found.startsWith('/'))) return found;
      throw wrong(place, name, found);
    },
    end: (): void => {
      for (const name of left.keys())
        throw invalidParameter(`invalid value for "${place}": there is no option "${name}"`);
    },
  };
}
