/** `addr=` of network file systems: the kernel takes numbers, people write names. */
import * as dns from 'node:dns/promises';
import { isIP } from 'node:net';
import { systemError } from '#errdefs/errors.ts';
import type { LocalMount } from './local-options.ts';

const types = ['nfs', 'nfs4', 'cifs', 'smb3'];
const LIMIT_MS = 5_000;

type LookUp = (host: string) => Promise<{ readonly address: string }>;

/** As dockerd: a name in `addr=` becomes its address; CIFS without one takes the host of `//host/share`. */
export async function withAddress(mount: LocalMount, lookUp: LookUp = (host) => dns.lookup(host)): Promise<LocalMount> {
  if (!types.includes(mount.type)) return mount;
  const options = mount.data === '' ? [] : mount.data.split(',');
  const given = options.find((option) => option.startsWith('addr='))?.slice('addr='.length);
  const host = given ?? (options.some((option) => option.startsWith('ip=')) ? undefined : hostOfShare(mount));
  if (host === undefined || host === '' || (given !== undefined && isIP(host) !== 0)) return mount;
  const address = isIP(host) === 0 ? await bounded(host, lookUp) : host;
  return { ...mount, data: [...options.filter((o) => !o.startsWith('addr=')), `addr=${address}`].join(',') };
}

function hostOfShare(mount: LocalMount): string | undefined {
  return mount.type.startsWith('nfs') ? undefined : /^\/\/([^/]+)\//.exec(mount.source)?.[1];
}

async function bounded(host: string, lookUp: LookUp): Promise<string> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const limit = setTimeout(() => reject(systemError(`lookup ${host}: no answer`)), LIMIT_MS);
  try {
    return (await Promise.race([lookUp(host), late])).address;
  } finally {
    clearTimeout(limit);
  }
}
