/**
 * HostConfig.UsernsMode and what comes of it: '' is the daemon's default (`userns-remap`), 'host' none; beyond Docker
 * 'auto' (podman's grammar) is a range of ids that no other container has, 'private' the same, 'container:X' that of X.
 * The range is chosen once, at create, and is part of the record: it is taken as long as the container is there.
 */
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';
import type { IdMapping } from '#libcontainer/spec.ts';

export interface UserNamespace {
  readonly uids: readonly IdMapping[];
  readonly gids: readonly IdMapping[];
  /** Id of the container whose namespace is joined; absent: one of its own. */
  readonly container?: string;
}

export type UsernsRequest =
  | { readonly kind: 'default' | 'host' }
  | { readonly kind: 'auto'; readonly size: number }
  | { readonly kind: 'container'; readonly container: string };

/** Ids of an image are below it, as everywhere. */
export const RANGE_SIZE = 65_536;
const SIZE_MAX = 2 ** 31;

/** Errors: invalid-parameter, not-implemented, each naming what was asked. */
export function parseUsernsMode(mode: string): UsernsRequest {
  if (mode === '') return { kind: 'default' };
  if (mode === 'host') return { kind: 'host' };
  if (mode === 'private' || mode === 'auto') return { kind: 'auto', size: RANGE_SIZE };
  const colon = mode.indexOf(':');
  const name = colon < 0 ? mode : mode.slice(0, colon);
  const rest = colon < 0 ? '' : mode.slice(colon + 1);
  if (name === 'keep-id' || name === 'nomap') {
    throw notImplemented(`userns mode "${name}" is not supported: it is about the user of a rootless engine`);
  }
  if (name === 'container' && rest !== '') return { kind: 'container', container: rest };
  if (name === 'auto') return { kind: 'auto', size: sizeIn(rest) };
  throw invalidParameter(`invalid userns mode: ${mode}`);
}

function sizeIn(options: string): number {
  let size = RANGE_SIZE;
  for (const option of options.split(',')) {
    const [key = '', value = ''] = option.split(/=(.*)/s);
    if (key === 'uidmapping' || key === 'gidmapping') {
      throw notImplemented(`userns mode "auto:${key}=…" is not supported: the ids are chosen by the engine`);
    }
    if (key !== 'size') throw invalidParameter(`invalid userns mode: auto: unknown option specified: "${option}"`);
    size = Number(value);
    if (!/^[0-9]+$/.test(value) || size < 1 || size > SIZE_MAX) {
      throw invalidParameter(`invalid userns mode: auto: size must be a number from 1 to ${SIZE_MAX}, not "${value}"`);
    }
  }
  return size;
}
