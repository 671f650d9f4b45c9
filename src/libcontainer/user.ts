/**
 * USER of an image or of `--user`, looked up in the container's own passwd and group files. Those files are the image's,
 * hence hostile: the caller bounds their size, everything here is one pass over lines, and a malformed line counts as
 * absent.
 *
 * A text of digits is always a number and never looked up as a name (CVE-2026-46680: an entry named "1000"); it only
 * brings the gid and home of the entry that has this uid.
 */
import { invalidParameter, notFound } from '#errdefs/errors.ts';

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const ID_MAX = 0x7fff_ffff;
export const GROUPS_MAX = 65_536;

/** A strict decimal id. Errors: invalid-parameter outside 0…2^31−1. */
export function parseId(text: string): number {
  const id = Number(text);
  if (!Number.isSafeInteger(id) || id < 0 || id > ID_MAX)
    throw invalidParameter(`uids and gids must be in range 0-${ID_MAX}, not "${text}"`);
  return id;
}

const isNumber = (text: string) => /^-?[0-9]+$/.test(text);

function* lines(text: string): Generator<string[]> {
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf('\n', start);
    const line = text.slice(start, end === -1 ? undefined : end).trim();
    start = end === -1 ? text.length : end + 1;
    if (line !== '' && !line.startsWith('#')) yield line.split(':');
  }
}

function idOrUndefined(text: string | undefined): number | undefined {
  if (text === undefined || !isNumber(text)) return undefined;
  const id = Number(text);
  return Number.isSafeInteger(id) && id <= ID_MAX ? id : undefined;
}

function* passwdEntries(text: string): Generator<PasswdEntry> {
  for (const [name = '', , uidText, gidText, , home = ''] of lines(text)) {
    const uid = idOrUndefined(uidText);
    const gid = idOrUndefined(gidText);
    if (uid !== undefined && gid !== undefined) yield { name, uid, gid, home };
  }
}

function* groupEntries(text: string): Generator<GroupEntry> {
  for (const [name = '', , gidText, members = ''] of lines(text)) {
    const gid = idOrUndefined(gidText);
    if (gid !== undefined) yield { name, gid, members: members.split(',') };
  }
}

function first<T>(entries: Iterable<T>, matches: (entry: T) => boolean): T | undefined {
  for (const entry of entries) if (matches(entry)) return entry;
  return undefined;
}

/**
 * Preconditions: `passwd` and `group` are bounded; empty when the file does not exist.
 * Errors: not-found for a name that is in neither file, invalid-parameter for an id out of range.
 */
export function resolveUser(
  user: string,
  files: { readonly passwd: string; readonly group: string },
  additionalGroups: readonly string[] = [],
): ResolvedUser {
  const colon = user.indexOf(':');
  const name = colon === -1 ? user : user.slice(0, colon);
  const groupName = colon === -1 ? '' : user.slice(colon + 1);
  const wanted = name === '' ? '0' : name;

  const byId = isNumber(wanted) ? parseId(wanted) : undefined;
  const entry = first(passwdEntries(files.passwd), (e) => (byId === undefined ? e.name === wanted : e.uid === byId));
  if (byId === undefined && entry === undefined)
    throw notFound(`unable to find user ${wanted}: no matching entries in passwd file`);

  const uid = byId ?? entry?.uid ?? 0;
  const gids = new Set<number>();
  let gid = entry?.gid ?? 0;
  if (groupName !== '') gid = groupId(groupName, files.group);
  else if (entry !== undefined) {
    for (const group of groupEntries(files.group)) if (group.members.includes(entry.name)) gids.add(group.gid);
  }
  for (const group of additionalGroups) gids.add(groupId(group, files.group));
  if (gids.size > GROUPS_MAX) throw invalidParameter(`User "${user}" has more than ${GROUPS_MAX} groups`);
  return { uid, gid, additionalGids: [...gids], home: entry?.home ?? '' };
}

function groupId(name: string, group: string): number {
  if (isNumber(name)) return parseId(name);
  const entry = first(groupEntries(group), (e) => e.name === name);
  if (entry === undefined) throw notFound(`unable to find group ${name}: no matching entries in group file`);
  return entry.gid;
}

/** Home directory of a uid, or empty. */
export function homeOf(uid: number, passwd: string): string {
  return passwd === '' ? '' : (first(passwdEntries(passwd), (e) => e.uid === uid)?.home ?? '');
}
