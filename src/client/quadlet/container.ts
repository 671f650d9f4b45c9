/**
 * `[Container]` to a `berth run` in the foreground. The client stays attached, so the service's main process lives as
 * long as the container, its output is the service's and its exit code the container's; the daemon's own restart policy
 * stays off, because systemd restarts.
 */
import * as path from 'node:path';
import { Keys } from './keys.ts';
import { type Source, type Surroundings, sectionOf, type Translation } from './source.ts';
import type { Entry } from './unit-file.ts';
import { commandLine, splitWords } from './words.ts';

/** Each occurrence is one value. */
const LISTS: readonly (readonly [key: string, flag: string])[] = [
  ['AddHost', '--add-host'],
  ['DNS', '--dns'],
  ['DNSOption', '--dns-option'],
  ['DNSSearch', '--dns-search'],
  ['ExposeHostPort', '--expose'],
  ['GroupAdd', '--group-add'],
  ['LogOpt', '--log-opt'],
  ['NetworkAlias', '--network-alias'],
  ['PublishPort', '--publish'],
  ['Secret', '--secret'],
  ['Tmpfs', '--tmpfs'],
  ['Ulimit', '--ulimit'],
];

/** The words of each occurrence are values. */
const WORDS: readonly (readonly [key: string, flag: string])[] = [
  ['AddCapability', '--cap-add'],
  ['Annotation', '--annotation'],
  ['DropCapability', '--cap-drop'],
  ['Environment', '--env'],
  ['Label', '--label'],
  ['Sysctl', '--sysctl'],
];

/** The last occurrence counts. */
const SINGLE: readonly (readonly [key: string, flag: string])[] = [
  ['HealthInterval', '--health-interval'],
  ['HealthOnFailure', '--health-on-failure'],
  ['HealthRetries', '--health-retries'],
  ['HealthStartPeriod', '--health-start-period'],
  ['HealthTimeout', '--health-timeout'],
  ['HostName', '--hostname'],
  ['IP', '--ip'],
  ['IP6', '--ip6'],
  ['LogDriver', '--log-driver'],
  ['Memory', '--memory'],
  ['PidsLimit', '--pids-limit'],
  ['Pull', '--pull'],
  ['ShmSize', '--shm-size'],
  ['StopSignal', '--stop-signal'],
  ['StopTimeout', '--stop-timeout'],
  ['UserNS', '--userns'],
  ['WorkingDir', '--workdir'],
];

const READ_ONLY_TMPFS = ['/run', '/tmp', '/var/tmp'];

export function translateContainer(source: Source, around: Surroundings): Translation & { problems: string[] } {
  const keys = new Keys('Container', sectionOf(source.sections, 'Container'));
  const needs: string[] = [];
  /** The other file that a value names; its unit becomes a dependency. */
  const named = (entry: Entry, name: string): Source | undefined => {
    const other = around.find(name);
    if (other === undefined) keys.refuse(entry, `there is no file ${name}`);
    else needs.push(other.service);
    return other;
  };
  keys.entries('ServiceName');
  const own = keys.last('ContainerName');
  const name = own ?? 'systemd-%N';
  const options: string[] = ['--replace', '--rm', '--name', name];
  for (const [key, flag] of LISTS) for (const value of keys.all(key)) options.push(flag, value);
  for (const [key, flag] of WORDS) for (const value of keys.words(key)) options.push(flag, value);
  for (const [key, flag] of SINGLE) {
    const value = keys.last(key);
    if (value !== undefined) options.push(flag, value);
  }
  const health = keys.last('HealthCmd');
  if (health !== undefined) options.push(...(health === 'none' ? ['--no-healthcheck'] : ['--health-cmd', health]));
  for (const file of keys.all('EnvironmentFile')) options.push('--env-file', besideFile(source.file, file, true));
  for (const value of keys.all('AddDevice')) {
    const device = value.replace(/^-/, '');
    if (device !== value && !around.deviceExists(device.split(':')[0] ?? '')) continue;
    options.push('--device', device);
  }
  for (const entry of keys.entries('Volume')) options.push('--volume', volumeOf(source, entry, named));
  for (const entry of keys.entries('Mount')) options.push('--mount', mountOf(entry, named));
  for (const entry of keys.entries('Network')) options.push('--network', networkOf(entry, named));
  options.push(...identity(keys), ...confinement(keys));
  options.push(...keys.words('PodmanArgs', 'BerthArgs'));
  const [entrypoint, ...before] = entrypointOf(keys);
  if (entrypoint !== undefined) options.push('--entrypoint', entrypoint);
  refuseInexpressible(keys);
  const image = keys.last('Image');
  if (image === undefined) keys.lacks(source.file, 'no Image key is given');
  for (const entry of keys.entries('Image')) {
    if (/\.(?:image|build)$/.test(entry.value)) keys.refuse(entry, `files like ${entry.value} are not supported`);
  }
  const argv = [...options, image ?? '', ...before, ...keys.words('Exec')];
  const global = keys.words('GlobalArgs');
  const reload = reloadOf(keys, [around.program, ...global], name);
  keys.refuseUnknown();
  return {
    needs,
    problems: keys.problems,
    service: [
      ['ExecStart', commandLine([around.program, ...global, 'run', ...argv])],
      // Also run when the container has ended by itself: then it is gone, which is no failure.
      ['ExecStop', `-${commandLine([around.program, ...global, 'stop', name])}`],
      // What is left when the client was killed before the container ended.
      ['ExecStopPost', `-${commandLine([around.program, ...global, 'rm', '-f', '-v', name])}`],
      ...reload,
    ],
  };
}

type Named = (entry: Entry, name: string) => Source | undefined;

function identity(keys: Keys): string[] {
  const user = keys.last('User');
  const group = keys.entries('Group').at(-1);
  if (group === undefined) return user === undefined ? [] : ['--user', user];
  if (user !== undefined) return ['--user', `${user}:${group.value}`];
  keys.refuse(group, 'is given without User');
  return [];
}

function confinement(keys: Keys): string[] {
  const options: string[] = [];
  const security = (option: string) => options.push('--security-opt', option);
  if (keys.flag('RunInit')) options.push('--init');
  if (keys.flag('ReadOnly')) {
    options.push('--read-only');
    const given = keys.all('Tmpfs').map((value) => value.split(':')[0]);
    const wanted = keys.flag('ReadOnlyTmpfs', true) ? READ_ONLY_TMPFS : [];
    for (const place of wanted) if (!given.includes(place)) options.push('--tmpfs', place);
  } else keys.flag('ReadOnlyTmpfs', true);
  if (keys.flag('NoNewPrivileges')) security('no-new-privileges');
  if (keys.flag('SecurityLabelDisable')) security('label=disable');
  const seccomp = keys.last('SeccompProfile');
  if (seccomp !== undefined) security(`seccomp=${seccomp}`);
  const unmask = keys.entries('Unmask').at(-1);
  if (unmask?.value === 'ALL') security('systempaths=unconfined');
  else if (unmask !== undefined) keys.refuse(unmask, 'only ALL can be expressed, not single paths');
  return options;
}

/** A word, or a list as JSON: what follows its first word goes before the arguments. */
function entrypointOf(keys: Keys): readonly string[] {
  const entry = keys.entries('Entrypoint').at(-1);
  if (entry === undefined) return [];
  if (!entry.value.startsWith('[')) return [entry.value];
  try {
    const list: unknown = JSON.parse(entry.value);
    if (Array.isArray(list) && list.length > 0 && list.every((word) => typeof word === 'string')) return list;
  } catch {
    // Told below, together with a list of something else.
  }
  keys.refuse(entry, 'is no list of strings in JSON');
  return [];
}

function refuseInexpressible(keys: Keys): void {
  for (const entry of keys.entries('Mask')) keys.refuse(entry, 'further masked paths cannot be expressed');
  const notify = keys.entries('Notify').at(-1);
  if (notify === undefined || /^(?:0|no|n|false|f|off)$/i.test(notify.value)) return;
  keys.refuse(notify, `"${notify.value}" is not supported: the service counts as started once its client runs`);
}

function reloadOf(keys: Keys, program: readonly string[], name: string): [string, string][] {
  const command = keys.entries('ReloadCmd').at(-1);
  const signal = keys.last('ReloadSignal');
  if (command !== undefined && signal !== undefined) keys.refuse(command, 'excludes ReloadSignal');
  if (signal !== undefined) return [['ExecReload', commandLine([...program, 'kill', '--signal', signal, name])]];
  if (command === undefined) return [];
  try {
    return [['ExecReload', commandLine([...program, 'exec', name, ...splitWords(command.value)])]];
  } catch (error) {
    keys.refuse(command, error instanceof Error ? error.message : String(error));
    return [];
  }
}

/** Relative to the file; what begins with a specifier is systemd's to resolve. */
function besideFile(file: string, value: string, plain: boolean): string {
  return value.startsWith('.') || (plain && !/^[/%]/.test(value)) ? path.join(path.dirname(file), value) : value;
}

function volumeOf(source: Source, entry: Entry, named: Named): string {
  const [from = '', target, ...rest] = entry.value.split(':');
  if (target === undefined) return entry.value;
  if (!from.endsWith('.volume')) return [besideFile(source.file, from, false), target, ...rest].join(':');
  const volume = named(entry, from);
  if (volume === undefined) return entry.value;
  // Copy= is podman's option of a volume; here it is one of each use.
  const copy = new Keys('Volume', sectionOf(volume.sections, 'Volume')).flag('Copy', true);
  const options = rest
    .join(':')
    .split(',')
    .filter((option) => option !== '');
  if (!copy && !options.includes('nocopy')) options.push('nocopy');
  return [volume.resource, target, ...(options.length === 0 ? [] : [options.join(',')])].join(':');
}

function mountOf(entry: Entry, named: Named): string {
  return entry.value
    .split(',')
    .map((field) => {
      const [, key, file] = /^(source|src)=(.+\.volume)$/.exec(field) ?? [];
      return key === undefined || file === undefined ? field : `${key}=${named(entry, file)?.resource ?? file}`;
    })
    .join(',');
}

/** podman's `NAME:ip=…,alias=…` is docker's `name=NAME,ip=…,alias=…`. */
function networkOf(entry: Entry, named: Named): string {
  const [name = '', options] = entry.value.split(/:(.*)/s);
  if (name.endsWith('.container')) return `container:${named(entry, name)?.resource ?? name}`;
  const network = name.endsWith('.network') ? (named(entry, name)?.resource ?? name) : name;
  if (options === undefined || options === '') return network;
  if (!options.includes('=')) return `${network}:${options}`;
  return [`name=${network}`, ...options.split(',').map((option) => option.replace(/^mac=/, 'mac-address='))].join(',');
}
