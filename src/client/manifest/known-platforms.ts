/** Which platforms a list of manifests may name: the pairs that Go knows, as docker's client checks them. */
import type { Platform } from './store.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = {
  aix: 'ppc64',
  android: '386 amd64 arm arm64',
  darwin: '386 amd64 arm arm64',
  dragonfly: 'amd64',
  freebsd: '386 amd64 arm',
  linux: '386 amd64 arm arm64 ppc64le mips64 mips64le riscv64 s390x',
  netbsd: '386 amd64 arm',
  openbsd: '386 amd64 arm',
  plan9: '386 amd64',
  solaris: 'amd64',
  windows: '386 amd64 arm arm64',
};

export function isKnownPlatform({ os, architecture }: Pick<Platform, 'os' | 'architecture'>): boolean {
  const known = Object.hasOwn(ARCHITECTURES, os) ? ARCHITECTURES[os] : undefined;
  return known?.split(' ').includes(architecture) ?? false;
}
