/** Filters of `buildx du` and `buildx prune`: conditions on records of the cache, as containerd writes them. Pure. */
import type { BuildCache } from '#api/types/build.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

type Condition = (entry: BuildCache) => boolean;

const fields: Readonly<Record<string, (entry: BuildCache) => readonly string[]>> = {
  id: ({ ID }) => [ID],
  parents: ({ Parents }) => Parents ?? [],
  description: ({ Description }) => [Description],
  type: ({ Type }) => [Type],
};

const flags: Readonly<Record<string, (entry: BuildCache) => boolean>> = {
  inuse: ({ InUse }) => InUse,
  mutable: ({ Type }) => Type === 'exec.cachemount',
  immutable: ({ Type }) => Type !== 'exec.cachemount',
  shared: ({ Shared }) => Shared,
  private: ({ Shared }) => !Shared,
};

/** Conditions of one filter are split by commas and all hold; of several filters one is enough. Errors: not-implemented. */
export function cacheMatcher(filters: readonly string[]): Condition {
  const groups = filters
    .map((text) => text.split(',').filter((part) => part !== ''))
    .filter((parts) => parts.length > 0)
    .map((parts) => parts.map(conditionOf));
  return (entry) => groups.length === 0 || groups.some((conditions) => conditions.every((holds) => holds(entry)));
}

function conditionOf(text: string): Condition {
  const match = /^([a-z]+)(?:(==?|!=|~=)(.*))?$/s.exec(text.trim());
  const [, name = '', operator, raw = ''] = match ?? [];
  const value = /^".*"$/s.test(raw) ? raw.slice(1, -1) : raw;
  const flag = flags[name];
  if (flag !== undefined) return (entry) => flag(entry) === (operator !== '!=' && !/^(?:false|0)$/.test(value));
  const field = fields[name === 'parent' ? 'parents' : name];
  if (field === undefined || operator === undefined) {
    throw notImplemented(`the cache filter ${JSON.stringify(text)} is not there`);
  }
  if (operator === '~=') {
    const pattern = patternOf(value);
    return (entry) => field(entry).some((is) => pattern.test(is));
  }
  return (entry) => field(entry).includes(value) === (operator !== '!=');
}

/** Errors: invalid-parameter. */
function patternOf(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw invalidParameter(`invalid pattern ${JSON.stringify(text)} in a filter`, { cause });
  }
}
