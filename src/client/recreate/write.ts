/** A recipe as a command for the shell, or as a Compose file. */
import { PROGRAM } from '../command.ts';
import { quoteWord } from './quote.ts';
import type { Recipe } from './settings.ts';

/** One flag a line. */
export function runCommand({ settings, image, command }: Recipe): string {
  const flags = settings.map(({ flag, value }) =>
    value === undefined ? `--${flag}` : `--${flag} ${quoteWord(value)}`,
  );
  return `${[`${PROGRAM} run`, ...flags, [image, ...command].map(quoteWord).join(' ')].join(' \\\n  ')}\n`;
}

interface YamlMap {
  readonly [key: string]: Yaml;
}
type Yaml = string | number | boolean | readonly Yaml[] | YamlMap;

function isList(value: Yaml | undefined): value is readonly Yaml[] {
  return Array.isArray(value);
}

function listOf(value: Yaml | undefined): readonly Yaml[] {
  return isList(value) ? value : [];
}

function mapOf(value: Yaml | undefined): YamlMap {
  return typeof value === 'object' && !isList(value) ? value : {};
}

/** Flag of run → key of a service (https://github.com/compose-spec/compose-spec/blob/main/05-services.md). */
const LISTS: Readonly<Record<string, string>> = {
  'add-host': 'extra_hosts',
  'cap-add': 'cap_add',
  'cap-drop': 'cap_drop',
  device: 'devices',
  'device-cgroup-rule': 'device_cgroup_rules',
  dns: 'dns',
  'dns-option': 'dns_opt',
  'dns-search': 'dns_search',
  env: 'environment',
  expose: 'expose',
  'group-add': 'group_add',
  label: 'labels',
  annotation: 'annotations',
  publish: 'ports',
  'security-opt': 'security_opt',
  sysctl: 'sysctls',
  tmpfs: 'tmpfs',
  'volumes-from': 'volumes_from',
};
const SINGLE: Readonly<Record<string, string>> = {
  name: 'container_name',
  hostname: 'hostname',
  domainname: 'domainname',
  user: 'user',
  workdir: 'working_dir',
  restart: 'restart',
  'stop-signal': 'stop_signal',
  ipc: 'ipc',
  pid: 'pid',
  uts: 'uts',
  userns: 'userns_mode',
  cgroupns: 'cgroup',
  'cgroup-parent': 'cgroup_parent',
  runtime: 'runtime',
  isolation: 'isolation',
  memory: 'mem_limit',
  'memory-reservation': 'mem_reservation',
  'memory-swap': 'memswap_limit',
  'memory-swappiness': 'mem_swappiness',
  cpus: 'cpus',
  'cpu-shares': 'cpu_shares',
  'cpu-period': 'cpu_period',
  'cpu-quota': 'cpu_quota',
  'cpu-rt-period': 'cpu_rt_period',
  'cpu-rt-runtime': 'cpu_rt_runtime',
  'cpuset-cpus': 'cpuset',
  'pids-limit': 'pids_limit',
  'oom-score-adj': 'oom_score_adj',
  'shm-size': 'shm_size',
};
const NUMBERS = new Set(['cpus', 'cpu-shares', 'memory-swappiness', 'pids-limit', 'oom-score-adj']);
const ALONE: Readonly<Record<string, string>> = {
  interactive: 'stdin_open',
  tty: 'tty',
  privileged: 'privileged',
  'read-only': 'read_only',
  init: 'init',
  'oom-kill-disable': 'oom_kill_disable',
};
const HEALTH: Readonly<Record<string, string>> = {
  'health-interval': 'interval',
  'health-timeout': 'timeout',
  'health-start-period': 'start_period',
  'health-start-interval': 'start_interval',
  'health-retries': 'retries',
};
/** What Compose does by itself or has no use for. */
const IMPLIED = new Set(['detach', 'rm']);

export function composeFile(recipe: Recipe): string {
  const service: Record<string, Yaml> = { image: recipe.image };
  const left: string[] = [];
  const append = (key: string, value: Yaml) => {
    service[key] = [...listOf(service[key]), value];
  };
  const within = (key: string, entry: Record<string, Yaml>) => {
    service[key] = { ...mapOf(service[key]), ...entry };
  };
  const networks: Record<string, Yaml> = {};
  const volumes: Record<string, Yaml> = {};
  for (const { flag, value = '' } of recipe.settings) {
    // A dollar sign begins a variable in a Compose file.
    const text = value.replaceAll('$', '$$$$');
    if (LISTS[flag] !== undefined) append(LISTS[flag], text);
    else if (SINGLE[flag] !== undefined) service[SINGLE[flag]] = NUMBERS.has(flag) ? Number(value) : text;
    else if (ALONE[flag] !== undefined) service[ALONE[flag]] = true;
    else if (flag === 'health-cmd') within('healthcheck', { test: ['CMD-SHELL', text] });
    else if (flag === 'no-healthcheck') within('healthcheck', { disable: true });
    else if (HEALTH[flag] !== undefined)
      within('healthcheck', { [HEALTH[flag]]: flag === 'health-retries' ? Number(value) : value });
    else if (flag === 'stop-timeout') service['stop_grace_period'] = `${value}s`;
    else if (flag === 'entrypoint') service['entrypoint'] = text === '' ? [] : [text];
    else if (flag === 'log-driver') within('logging', { driver: text });
    else if (flag === 'log-opt') addLogOption(service, text);
    else if (flag === 'ulimit') addUlimit(service, value);
    else if (flag === 'storage-opt') within('storage_opt', pair(text));
    else if (flag === 'volume') {
      append('volumes', text);
      const name = value.split(':')[0] ?? '';
      if (value.includes(':') && !name.startsWith('/')) volumes[name] = { external: true };
    } else if (flag === 'mount') {
      const mount = mountEntry(text);
      append('volumes', mount);
      if (mount['type'] === 'volume' && typeof mount['source'] === 'string')
        volumes[mount['source']] = { external: true };
    } else if (flag === 'network') {
      if (/^(?:none|host|container:.*)$/.test(value)) service['network_mode'] = value;
      else addNetwork(service, networks, text);
    } else if (!IMPLIED.has(flag)) left.push(value === '' ? `--${flag}` : `--${flag} ${quoteWord(value)}`);
  }
  if (recipe.command.length > 0) service['command'] = recipe.command.map((word) => word.replaceAll('$', '$$$$'));
  const name = typeof service['container_name'] === 'string' ? service['container_name'] : 'main';
  const file: Record<string, Yaml> = { services: { [name]: service } };
  if (Object.keys(networks).length > 0) file['networks'] = networks;
  if (Object.keys(volumes).length > 0) file['volumes'] = volumes;
  const notes = left.map((one) => `# Not in Compose: ${one.replaceAll('\n', ' ')}\n`).join('');
  return `${notes}${yaml(file, 0)}`;
}

function pair(text: string): Record<string, Yaml> {
  const at = text.indexOf('=');
  return at < 0 ? { [text]: '' } : { [text.slice(0, at)]: text.slice(at + 1) };
}

function addLogOption(service: Record<string, Yaml>, text: string): void {
  const before = mapOf(service['logging']);
  service['logging'] = { ...before, options: { ...mapOf(before['options']), ...pair(text) } };
}

function addUlimit(service: Record<string, Yaml>, value: string): void {
  const [, name = '', soft = '', hard = soft] = /^([^=]+)=(-?\d+)(?::(-?\d+))?$/.exec(value) ?? [];
  service['ulimits'] = {
    ...mapOf(service['ulimits']),
    [name]: { soft: Number(soft), hard: Number(hard) },
  };
}

/** Fields of `key=value,…`; quoted ones as RFC 4180 has them. */
function fieldsOf(text: string): readonly (readonly [string, string])[] {
  const fields = text.match(/(?:"(?:[^"]|"")*"|[^,])+/g) ?? [];
  return fields.map((field) => {
    const plain = field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field;
    const at = plain.indexOf('=');
    return at < 0 ? [plain, 'true'] : [plain.slice(0, at), plain.slice(at + 1)];
  });
}

function addNetwork(service: Record<string, Yaml>, networks: Record<string, Yaml>, text: string): void {
  const fields = text.includes('=') ? fieldsOf(text) : [['name', text] as const];
  const name = fields.find(([key]) => key === 'name')?.[1] ?? text;
  const aliases = fields.filter(([key]) => key === 'alias').map(([, value]) => value);
  const ip = fields.find(([key]) => key === 'ip')?.[1];
  const ip6 = fields.find(([key]) => key === 'ip6')?.[1];
  const options: Record<string, Yaml> = {};
  for (const [key, value] of fields) if (key === 'driver-opt') Object.assign(options, pair(value));
  const end: Record<string, Yaml> = {
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(ip === undefined ? {} : { ipv4_address: ip }),
    ...(ip6 === undefined ? {} : { ipv6_address: ip6 }),
    ...(Object.keys(options).length === 0 ? {} : { driver_opts: options }),
  };
  if (name === 'bridge') {
    service['network_mode'] = 'bridge';
    return;
  }
  service['networks'] = { ...mapOf(service['networks']), [name]: end };
  networks[name] = { external: true };
}

function mountEntry(text: string): Record<string, Yaml> {
  const mount: Record<string, Yaml> = {};
  for (const [key, value] of fieldsOf(text)) {
    const [group, option] = key.split(/-(.*)/s);
    if (key === 'readonly') mount['read_only'] = true;
    else if (option === undefined || group === undefined) mount[key] = value;
    else {
      const flat = option.replaceAll('-', '_');
      const held = flat === 'size' ? Number(value) : value === 'true' ? true : value;
      mount[group] = { ...mapOf(mount[group]), [flat]: held };
    }
  }
  return mount;
}

/** Block style; texts in JSON's quotes, which YAML reads as well, where they could be taken for something else. */
function yaml(value: Yaml, depth: number): string {
  const space = '  '.repeat(depth);
  if (isList(value)) return value.map((one) => `${space}-${nested(one, depth)}`).join('');
  if (typeof value === 'object') {
    return Object.entries(value)
      .map(([key, one]) => `${space}${scalar(key)}:${nested(one, depth)}`)
      .join('');
  }
  return `${space}${scalar(value)}\n`;
}

function nested(value: Yaml, depth: number): string {
  if (typeof value !== 'object') return ` ${scalar(value)}\n`;
  const empty = isList(value) ? value.length === 0 : Object.keys(value).length === 0;
  if (empty) return isList(value) ? ' []\n' : ' {}\n';
  return `\n${yaml(value, depth + 1)}`;
}

function scalar(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value);
  const plain = /^[A-Za-z/][A-Za-z0-9_./@+-]*$/.test(value) && !/^(?:true|false|yes|no|on|off|null|y|n)$/i.test(value);
  return plain ? value : JSON.stringify(value);
}
