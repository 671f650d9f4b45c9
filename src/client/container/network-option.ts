/** `--network NAME`, or its long form `name=…,alias=…,ip=…`. */
import { splitCsv } from './csv.ts';

export interface NetworkOption {
  readonly target: string;
  readonly aliases: readonly string[];
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly linkLocal: readonly string[];
  readonly macAddress: string;
  readonly gatewayPriority: number;
}

const PLAIN = { aliases: [], driverOptions: {}, ipv4: '', ipv6: '', linkLocal: [], macAddress: '', gatewayPriority: 0 };

export function parseNetwork(text: string): NetworkOption {
  // A name may hold `=` only in the long form (container:… and plain names have none).
  if (!text.includes('=')) return { ...PLAIN, target: text };
  const aliases: string[] = [];
  const linkLocal: string[] = [];
  const driverOptions: Record<string, string> = {};
  const single: Record<string, string> = {};
  for (const field of splitCsv(text)) {
    const [key = '', value] = field.split(/=(.*)/s);
    if (value === undefined || key === '') throw new Error(`invalid field ${field}: must be a key=value pair`);
    const name = key.trim().toLowerCase();
    if (name === 'alias') aliases.push(value);
    else if (name === 'link-local-ip') linkLocal.push(value);
    else if (name === 'driver-opt') {
      const [option = '', setting] = value.split(/=(.*)/s);
      if (setting === undefined) throw new Error('invalid key value pair format in driver options');
      driverOptions[option] = setting;
    } else if (['name', 'ip', 'ip6', 'mac-address', 'gw-priority'].includes(name)) single[name] = value;
    else throw new Error(`invalid field key ${key}`);
  }
  const priority = Number(single['gw-priority'] ?? '0');
  if (!Number.isInteger(priority)) throw new Error(`invalid gw-priority (${single['gw-priority'] ?? ''})`);
  if ((single['name'] ?? '') === '') throw new Error('network name/id is not specified');
  return {
    target: single['name'] ?? '',
    aliases,
    driverOptions,
    ipv4: single['ip'] ?? '',
    ipv6: single['ip6'] ?? '',
    linkLocal,
    macAddress: single['mac-address'] ?? '',
    gatewayPriority: priority,
  };
}
