/** Platforms: `os[/architecture[/variant]]` as people write it, and which of several serves a wish best. */
import type { Platform } from '#content/descriptor.ts';
import { invalidParameter } from '#errdefs/errors.ts';

const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386' };
const aliases: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  armhf: 'arm/v7',
  armel: 'arm/v6',
  i386: '386',
};
const KNOWN_OS: ReadonlySet<string> = new Set([
  'linux',
  'windows',
  'darwin',
  'freebsd',
  'netbsd',
  'openbsd',
  'unknown',
]);
const COMPONENT = /^[A-Za-z0-9_.-]+$/;

export function hostPlatform(): Platform {
  return normalise({ os: 'linux', architecture: architectures[process.arch] ?? process.arch });
}

/** Errors: invalid-parameter in containerd's words. */
export function parsePlatform(text: string): Platform {
  const parts = text.split('/');
  for (const part of parts) {
    if (!COMPONENT.test(part)) {
      throw invalidParameter(
        `"${text}": "${part}" is an invalid component of "${text}": platform specifier component must match ` +
          `"^[A-Za-z0-9_.-]+$": invalid argument`,
      );
    }
  }
  const [first = '', second, third, ...more] = parts.map((part) => part.toLowerCase());
  if (more.length > 0) throw invalidParameter(`"${text}": cannot parse platform specifier: invalid argument`);
  if (second === undefined) {
    if (KNOWN_OS.has(first)) return { ...hostPlatform(), os: first };
    const named = aliases[first] ?? first;
    const known = ['amd64', '386', 'arm64', 'arm', 'ppc64le', 's390x', 'riscv64', 'mips64le', 'loong64'];
    if (!known.includes(named.split('/')[0] ?? '')) {
      throw invalidParameter(`"${text}": unknown operating system or architecture: invalid argument`);
    }
    const [architecture = '', variant] = named.split('/');
    return normalise({ os: 'linux', architecture, variant });
  }
  const [architecture = '', variant] = (aliases[second] ?? second).split('/');
  return normalise({ os: first, architecture, variant: third ?? variant });
}

/** `linux/arm/v7`; arm64's only variant goes without saying. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  const shown = architecture === 'arm64' && variant === 'v8' ? undefined : variant;
  return [os, architecture, shown].filter((part) => part !== undefined && part !== '').join('/');
}

function normalise(platform: Platform): Platform {
  const { os, architecture } = platform;
  let { variant } = platform;
  if (architecture === 'arm64' && (variant === undefined || variant === '' || variant === '8')) variant = 'v8';
  if (architecture === 'arm' && (variant === undefined || variant === '')) variant = 'v7';
  if (architecture === 'amd64' && variant === 'v1') variant = undefined;
  return variant === undefined || variant === '' ? { os, architecture } : { os, architecture, variant };
}

/** Lower is better; undefined: it does not serve. What an older variant needs a newer one has. */
function rank(wanted: Platform, offered: Platform): number | undefined {
  const want = normalise(wanted);
  const offer = normalise(offered);
  if (want.os !== offer.os) return undefined;
  const level = ({ variant }: Platform): number => Number(/^v([0-9]+)$/.exec(variant ?? 'v1')?.[1] ?? 1);
  if (want.architecture === offer.architecture) {
    const distance = level(want) - level(offer);
    if (want.variant === offer.variant) return 0;
    return distance < 0 ? undefined : distance;
  }
  if (want.architecture === 'arm64' && offer.architecture === 'arm') return 100 - level(offer);
  if (want.architecture === 'amd64' && offer.architecture === '386') return 100;
  return undefined;
}

/** The same platform in other words, or a lesser variant of it; not another architecture that could run too. */
export function isPlatform(wanted: Platform, offered: Platform): boolean {
  const found = rank(wanted, offered);
  return found !== undefined && found < 50;
}

/** The one that serves best, the first of equals; undefined when none does. */
export function bestPlatform<T>(
  wanted: Platform,
  offers: readonly T[],
  platformOf: (offer: T) => Platform,
): T | undefined {
  let best: { readonly offer: T; readonly rank: number } | undefined;
  for (const offer of offers) {
    const found = rank(wanted, platformOf(offer));
    if (found !== undefined && (best === undefined || found < best.rank)) best = { offer, rank: found };
  }
  return best?.offer;
}
