/** Platforms as builds are asked for them: `linux/arm64/v8`. */
import { formatPlatform as format, parsePlatform } from '#image/platform.ts';

export interface HostPlatform {
  readonly os: string;
  readonly architecture: string;
  /** '' for none. */
  readonly variant: string;
}

export const formatPlatform = (platform: HostPlatform): string => format(platform);

/** '' is the host's. Errors: invalid-parameter. */
export function platformOf(text: string, host: HostPlatform): HostPlatform {
  if (text === '') return host;
  const { os, architecture, variant = '' } = parsePlatform(text);
  // arm64's only variant goes without saying.
  return { os, architecture, variant: architecture === 'arm64' && variant === 'v8' ? '' : variant };
}
