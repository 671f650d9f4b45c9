/** What the daemon reads about its host once, at start. */
import * as fs from 'node:fs';
import { namesOf, ownCapabilities } from '#libcontainer/capabilities.ts';
import { parseList } from '#container/resources.ts';

export interface HostSystem {
  readonly cpus: number;
  /** '0-3' */
  readonly online: string;
  readonly possibleCpus: readonly number[];
  readonly memoryNodes: string;
  readonly memoryBytes: number;
  readonly hostname: string;
  readonly kernel: string;
  readonly operatingSystem: string;
  readonly osVersion: string;
  /** 'x86_64' */
  readonly machine: string;
  /** 'amd64' */
  readonly architecture: string;
  /** Names of the daemon's bounding set. */
  readonly bounding: readonly string[];
  readonly bootId: string;
}

const machines: Readonly<Record<string, readonly [machine: string, architecture: string]>> = {
  x64: ['x86_64', 'amd64'],
  arm64: ['aarch64', 'arm64'],
};

function line(file: string, absent: string): string {
  try {
    return fs.readFileSync(file, 'utf8').trim();
  } catch {
    return absent;
  }
}

export function readHost(): HostSystem {
  const online = line('/sys/devices/system/cpu/online', '0');
  const [machine, architecture] = machines[process.arch] ?? [process.arch, process.arch];
  const release = osRelease();
  return {
    cpus: parseList(online)?.size ?? 1,
    online,
    possibleCpus: [...(parseList(line('/sys/devices/system/cpu/possible', online)) ?? [])],
    memoryNodes: line('/sys/devices/system/node/online', '0'),
    memoryBytes: Number(/^MemTotal:\s+(\d+) kB/m.exec(line('/proc/meminfo', ''))?.[1] ?? 0) * 1024,
    hostname: line('/proc/sys/kernel/hostname', 'localhost'),
    kernel: line('/proc/sys/kernel/osrelease', ''),
    operatingSystem: release.get('PRETTY_NAME') ?? 'Linux',
    osVersion: release.get('VERSION_ID') ?? '',
    machine,
    architecture,
    bounding: namesOf(ownCapabilities('CapBnd')),
    bootId: line('/proc/sys/kernel/random/boot_id', ''),
  };
}

function osRelease(): Map<string, string> {
  const text = line('/etc/os-release', '') || line('/usr/lib/os-release', '');
  const pairs = text.split('\n').map((row): [string, string] => {
    const at = row.indexOf('=');
    return [row.slice(0, at), row.slice(at + 1).replace(/^["']|["']$/g, '')];
  });
  return new Map(pairs);
}
