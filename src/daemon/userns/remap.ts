/**
 * The daemon's default user namespace, `userns-remap`, with dockerd's grammar: `default` (the name dockremap, which gets
 * ranges when it has none), `user`, `uid`, `user:group`, `uid:gid`. The ranges are the subordinate ids of that user and
 * group. Unlike dockerd's, images and volumes are not kept apart for it: files on the disk have the container's ids.
 */
import * as fs from 'node:fs';
import type { UserNamespace } from '#container/user-namespace.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { IdMapping } from '#libcontainer/spec.ts';
import { log } from '#pkg/log/log.ts';
import { addRange, type IdRange, rangesOf, type SubordinateFiles } from './subordinate-ids.ts';

export interface AccountFiles extends SubordinateFiles {
  readonly passwd: string;
  readonly group: string;
}

const DEFAULT_NAME = 'dockremap';

interface Account {
  readonly name: string;
  readonly id: number;
}

function accountsIn(file: string): Account[] {
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [name = '', , id = ''] = line.split(':');
      return name !== '' && /^[0-9]+$/.test(id) ? [{ name, id: Number(id) }] : [];
    });
}

/** `words` as dockerd's errors begin. */
function find(file: string, wanted: string, words: { readonly number: string; readonly name: string }): Account {
  const isNumber = /^[0-9]+$/.test(wanted);
  const found = accountsIn(file).find(({ name, id }) => (isNumber ? id === Number(wanted) : name === wanted));
  if (found !== undefined) return found;
  if (isNumber) throw invalidParameter(`${words.number} ${wanted} has no entry in ${file}`);
  throw invalidParameter(`Error during ${words.name} lookup for "${wanted}": no entry in ${file}`);
}

/** Undefined: root itself, which is no remapping. Errors: invalid-parameter. */
export function remapOf(setting: string, files: AccountFiles): UserNamespace | undefined {
  const parts = setting.split(':');
  const [userPart = '', groupPart] = parts;
  if (parts.length > 2 || userPart === '' || groupPart === '') {
    throw invalidParameter(`Invalid user/group specification in --userns-remap: "${setting}"`);
  }
  if (userPart === 'default' && groupPart === undefined) return defaultRemap(files);
  const user = find(files.passwd, userPart, { number: 'Uid', name: 'uid' });
  const group = find(files.group, groupPart ?? userPart, { number: 'Gid', name: 'gid' });
  if (user.id === 0) {
    log.warn('root cannot be remapped with itself: user namespaces are off', { key: 'userns-remap' });
    return undefined;
  }
  const uids = rangesOf(files.uids, [user.name, String(user.id)]);
  const gids = rangesOf(files.gids, [group.name, String(group.id)]);
  return mapped(uids, gids, user.name, group.name);
}

/** No account is made: nothing runs as it, only its ranges matter. */
function defaultRemap(files: AccountFiles): UserNamespace {
  try {
    addRange(files, DEFAULT_NAME);
  } catch (error) {
    throw invalidParameter(`Cannot give ranges of ids to "${DEFAULT_NAME}": ${messageOf(error)}`, { cause: error });
  }
  const uids = rangesOf(files.uids, [DEFAULT_NAME]);
  return mapped(uids, rangesOf(files.gids, [DEFAULT_NAME]), DEFAULT_NAME, DEFAULT_NAME);
}

function mapped(uids: readonly IdRange[], gids: readonly IdRange[], user: string, group: string): UserNamespace {
  if (uids.length === 0) throw invalidParameter(`no subuid ranges found for user "${user}"`);
  if (gids.length === 0) throw invalidParameter(`no subgid ranges found for group "${group}"`);
  return { uids: inARow(uids), gids: inARow(gids) };
}

/** Several ranges follow each other inside. */
function inARow(ranges: readonly IdRange[]): IdMapping[] {
  let containerID = 0;
  return ranges.map(({ start, count }) => {
    const mapping = { containerID, hostID: start, size: count };
    containerID += count;
    return mapping;
  });
}
