/** Where the files are that the engine writes for a container. */
import * as path from 'node:path';
import type { GeneratedFiles } from '#container/spec/mounts.ts';

export function pathsOf(directory: string): GeneratedFiles {
  return {
    hosts: path.join(directory, 'hosts'),
    hostname: path.join(directory, 'hostname'),
    resolvConf: path.join(directory, 'resolv.conf'),
  };
}
