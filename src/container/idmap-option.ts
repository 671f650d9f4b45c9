/**
 * The option `idmap` of a mount, with podman's grammar: alone it gives the mount the ids of the container's user
 * namespace; `idmap=uids=0-1000-1#1-2000-10;gids=0-1000-1` are triplets of id on the file system, id on the host and how
 * many. With `@` in front (`uids=@0-1-10`) the second number is an id of the container.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { hostId, mountMaps } from '#libcontainer/id-map.ts';
import type { IdMapping, Mount } from '#libcontainer/spec.ts';
import type { MountSpec } from './mount-spec.ts';
import type { UserNamespace } from './user-namespace.ts';

/** `idmap` without maps of its own. */
export const OWN_IDS = 'own';
const ID_MAX = 0xffff_fffe;
/** The kernel's limit of lines in a map. */
const TRIPLETS_MAX = 340;

interface Triplet {
  readonly onDisk: number;
  readonly other: number;
  readonly size: number;
  /** `other` is an id of the container. */
  readonly relative: boolean;
}

function bad(text: string, why: string): Error {
  return invalidParameter(`invalid mount option "idmap=${text}": ${why}`);
}

function triplet(text: string, whole: string): Triplet {
  const match = /^(@?)([0-9]+)-([0-9]+)-([0-9]+)$/.exec(text);
  if (match === null) throw bad(whole, `"${text}" is not ID-ID-COUNT`);
  const [onDisk = 0, other = 0, size = 0] = match.slice(2).map(Number);
  if (size === 0 || onDisk + size > ID_MAX || other + size > ID_MAX) throw bad(whole, `"${text}" is out of range`);
  return { onDisk, other, size, relative: match[1] === '@' };
}

function parse(text: string): { readonly uids: readonly Triplet[]; readonly gids: readonly Triplet[] } {
  const found = new Map<string, Triplet[]>();
  for (const part of text.split(';')) {
    const [kind = '', list] = part.split(/=(.*)/s);
    if ((kind !== 'uids' && kind !== 'gids') || list === undefined)
      throw bad(text, `"${part}" is not uids=… or gids=…`);
    if (found.has(kind)) throw bad(text, `"${kind}" is there twice`);
    const triplets = list.split('#').map((one) => triplet(one, text));
    if (triplets.length > TRIPLETS_MAX) throw bad(text, `more than ${TRIPLETS_MAX} ranges`);
    found.set(kind, triplets);
  }
  const uids = found.get('uids');
  const gids = found.get('gids');
  if (uids === undefined || gids === undefined) throw bad(text, 'both uids and gids are needed');
  return { uids, gids };
}

/** Checks it as far as text goes. `value`: what follows `idmap=`; 'true' and nothing mean the container's. */
export function parseIdmap(value: string | undefined): string {
  if (value === undefined || value === '' || value === 'true') return OWN_IDS;
  if (value === 'false') return '';
  parse(value);
  return value;
}

/** A volume has the ids of inside on the disk, whichever container it is in; a bind those of the host, unless asked. */
function wants(mount: Pick<MountSpec, 'type' | 'idmap'>, userns: UserNamespace | undefined): string {
  if (mount.idmap !== '') return mount.idmap;
  return mount.type === 'volume' && userns !== undefined ? OWN_IDS : '';
}

/** For a mount of the specification. Errors: invalid-parameter. */
export function mountMappings(
  mount: Pick<MountSpec, 'type' | 'idmap' | 'destination'>,
  userns: UserNamespace | undefined,
): Pick<Mount, 'uidMappings' | 'gidMappings'> {
  const idmap = wants(mount, userns);
  if (idmap === '') return {};
  if (idmap !== OWN_IDS) {
    const { uids, gids } = parse(idmap);
    return { uidMappings: uids.map(mapping(userns?.uids, 'uid')), gidMappings: gids.map(mapping(userns?.gids, 'gid')) };
  }
  if (userns === undefined) {
    throw invalidParameter(
      `invalid mount option "idmap" of "${mount.destination}": the container has no user namespace; name the ids (idmap=uids=…;gids=…)`,
    );
  }
  return { uidMappings: mountMaps(userns.uids), gidMappings: mountMaps(userns.gids) };
}

function mapping(own: readonly IdMapping[] | undefined, what: string): (triplet: Triplet) => IdMapping {
  return ({ onDisk, other, size, relative }) => {
    if (!relative) return { containerID: onDisk, hostID: other, size };
    const hostID = hostId(own, other, what);
    if (hostId(own, other + size - 1, what) !== hostID + size - 1) {
      throw invalidParameter(`${what}s ${other} to ${other + size - 1} do not follow each other in the user namespace`);
    }
    return { containerID: onDisk, hostID, size };
  };
}

/** What on the disk is `id` of the container, for `:U`. Errors: invalid-parameter. */
export function idOnDisk(
  id: number,
  own: readonly IdMapping[] | undefined,
  mappings: readonly IdMapping[] | undefined,
  what: string,
): number {
  const host = hostId(own, id, what);
  if (mappings === undefined) return host;
  const range = mappings.find(({ hostID, size }) => host >= hostID && host < hostID + size);
  if (range === undefined) throw invalidParameter(`${what} ${id} of the container is not among the ids of the mount`);
  return range.containerID + (host - range.hostID);
}
