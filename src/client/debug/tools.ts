/** Programs that one misses in a container without any, as far as this machine has them. */
import { accessSync, constants } from 'node:fs';
import * as path from 'node:path';

const WANTED =
  `busybox sh bash cat cp ls mv rm mkdir ln stat du df find grep sed awk head tail sort uniq wc tr cut xargs env
  id ps top kill free uptime mount lsof strace ltrace gdb ip ss ping nc curl wget dig nslookup tcpdump openssl vi vim less
  tar gzip file hexdump od date sleep true false uname hostname chroot`.split(/\s+/);

/** Names that can be run here. */
export function findOnHost(searchPath: string | undefined): string[] {
  const folders = (searchPath ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin').split(':');
  return WANTED.filter((name) => folders.some((folder) => folder.startsWith('/') && runnable(path.join(folder, name))));
}

function runnable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
