/**
 * Names of the host's ends of veth pairs. They come from the endpoint's random id and are never used twice. Those of a
 * daemon on another data root carry its six digits, so that each daemon sweeps its own only.
 */
const DEFAULT = /^berth[0-9a-f]{9}$/;

export function linkNameOf(endpointId: string, suffix: string | undefined): string {
  return suffix === undefined ? `berth${endpointId.slice(0, 9)}` : `bt${suffix}${endpointId.slice(0, 6)}`;
}

export function isLinkName(name: string, suffix: string | undefined): boolean {
  if (suffix === undefined) return DEFAULT.test(name);
  return name.length === 14 && name.startsWith(`bt${suffix}`) && /^[0-9a-f]{6}$/.test(name.slice(8));
}
