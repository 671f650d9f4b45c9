/** A platform in a query: an OCI platform object as JSON, which Docker sends since API 1.48. */
import type { Platform } from '#api/types/descriptor.ts';
import { invalidParameter } from '#errdefs/errors.ts';

const LENGTH_MAX = 100;

/** Undefined for ''. Errors: invalid-parameter in dockerd's words. */
export function decodePlatform(text: string): Platform | undefined {
  if (text === '') return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw invalidParameter('failed to parse platform: it is not JSON', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalidParameter('failed to parse platform: it is no object');
  }
  const fields = new Map<string, unknown>(Object.entries(parsed));
  const part = (name: string): string => {
    const value = fields.get(name) ?? '';
    if (typeof value === 'string' && value.length <= LENGTH_MAX) return value;
    throw invalidParameter(`failed to parse platform: ${name} is malformed`);
  };
  const platform: Platform = { os: part('os'), architecture: part('architecture') };
  if (platform.os === '' || platform.architecture === '') {
    throw invalidParameter('both OS and Architecture must be provided');
  }
  const variant = part('variant');
  const version = part('os.version');
  return {
    ...platform,
    ...(variant === '' ? {} : { variant }),
    ...(version === '' ? {} : { 'os.version': version }),
  };
}

/** All of a name that may be given several times. */
export function decodePlatforms(texts: readonly string[]): Platform[] {
  return texts.flatMap((text) => decodePlatform(text) ?? []);
}
