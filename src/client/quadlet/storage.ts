/** `[Volume]` and `[Network]`: one command that makes it if it is not there. */
import { Keys } from './keys.ts';
import { type Source, type Surroundings, sectionOf, type Translation } from './source.ts';
import { commandLine } from './words.ts';

export function translateVolume(source: Source, around: Surroundings): Translation & { problems: string[] } {
  const keys = new Keys('Volume', sectionOf(source.sections, 'Volume'));
  keys.entries('ServiceName', 'VolumeName');
  // Read by the containers that use the volume.
  keys.flag('Copy', true);
  const options: string[] = [];
  const driver = keys.last('Driver');
  if (driver !== undefined) options.push('--driver', driver);
  const device = keys.last('Device');
  if (device !== undefined) options.push('--opt', `device=${device}`);
  for (const [key, option] of [
    ['Type', 'type'],
    ['Options', 'o'],
  ] as const) {
    const entry = keys.entries(key).at(-1);
    if (entry === undefined) continue;
    if (device === undefined) keys.refuse(entry, 'is given without Device');
    options.push('--opt', `${option}=${entry.value}`);
  }
  for (const label of keys.words('Label')) options.push('--label', label);
  return oneCommand(keys, source, around, 'volume', options);
}

export function translateNetwork(source: Source, around: Surroundings): Translation & { problems: string[] } {
  const keys = new Keys('Network', sectionOf(source.sections, 'Network'));
  keys.entries('ServiceName', 'NetworkName');
  for (const entry of keys.entries('DNS', 'DisableDNS'))
    keys.refuse(entry, 'networks have no DNS servers of their own');
  const options = ['--ignore'];
  const driver = keys.last('Driver');
  if (driver !== undefined) options.push('--driver', driver);
  for (const [key, flag] of [
    ['Subnet', '--subnet'],
    ['Gateway', '--gateway'],
    ['IPRange', '--ip-range'],
    ['Options', '--opt'],
  ] as const) {
    for (const value of keys.all(key)) options.push(flag, value);
  }
  if (keys.flag('Internal')) options.push('--internal');
  if (keys.flag('IPv6')) options.push('--ipv6');
  for (const label of keys.words('Label')) options.push('--label', label);
  return oneCommand(keys, source, around, 'network', options);
}

function oneCommand(
  keys: Keys,
  source: Source,
  around: Surroundings,
  group: 'volume' | 'network',
  options: readonly string[],
): Translation & { problems: string[] } {
  const argv = [...options, ...keys.words('PodmanArgs', 'BerthArgs')];
  const global = keys.words('GlobalArgs');
  keys.refuseUnknown();
  return {
    needs: [],
    problems: keys.problems,
    service: [['ExecStart', commandLine([around.program, ...global, group, 'create', ...argv, source.resource])]],
  };
}
