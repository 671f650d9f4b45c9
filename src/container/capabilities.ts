/**
 * Capability names and which of them a container gets. Docker's 14 by default; `privileged` and `ALL` mean what the
 * daemon itself has (its bounding set), not every capability that exists.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { capabilityNames, defaultCapabilities } from '#libcontainer/capabilities.ts';

const ALL = 'ALL';
const known = new Set<string>(capabilityNames);

/** 'net_admin', 'CAP_NET_ADMIN' → 'CAP_NET_ADMIN'; 'all' → 'ALL'. Errors: invalid-parameter. */
export function normaliseCapabilities(names: readonly string[], field: 'CapAdd' | 'CapDrop'): string[] {
  return names.map((text) => {
    const upper = text.toUpperCase();
    if (upper === ALL || upper === 'CAP_ALL') return ALL;
    const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    if (!known.has(name)) throw invalidParameter(`invalid ${field}: unknown capability: "${name}"`);
    return name;
  });
}

export interface CapabilityRequest {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  readonly privileged: boolean;
  /** What the daemon has. */
  readonly bounding: readonly string[];
}

export function effectiveCapabilities(request: CapabilityRequest): string[] {
  const { bounding } = request;
  if (request.privileged) return [...bounding];
  const add = normaliseCapabilities(request.add, 'CapAdd');
  const drop = normaliseCapabilities(request.drop, 'CapDrop');
  if (add.includes(ALL)) return bounding.filter((name) => !drop.includes(name));
  const base: string[] = drop.includes(ALL) ? [] : defaultCapabilities.filter((name) => !drop.includes(name));
  const wanted = new Set([...base, ...add]);
  return capabilityNames.filter((name) => wanted.has(name));
}
