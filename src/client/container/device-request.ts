/** Devices that are asked for by name or number: CDI devices of `--device`, GPUs of `--gpus`. */
import type { DeviceRequest } from '#api/types/host-config.ts';
import { splitCsv } from './csv.ts';

const CDI_NAME =
  /^[a-zA-Z]([a-zA-Z0-9._-]*[a-zA-Z0-9])?\/[a-zA-Z]([a-zA-Z0-9_-]*[a-zA-Z0-9])?=[a-zA-Z0-9]([a-zA-Z0-9_:.-]*[a-zA-Z0-9])?$/;

/** `vendor.com/class=name` */
export const isCdiName = (text: string): boolean => CDI_NAME.test(text);

/** The CDI names of `--device` as one request, then the GPUs. */
export function deviceRequests(devices: readonly string[], gpus: readonly DeviceRequest[]): DeviceRequest[] {
  const names = devices.filter(isCdiName);
  const cdi = { Driver: 'cdi', Count: 0, DeviceIDs: names, Capabilities: null, Options: null };
  return [...(names.length === 0 ? [] : [cdi]), ...gpus];
}

/** `all`, `2`, or fields: `device=0,count=…,driver=…,capabilities=…,options=…`. */
export function parseGpus(text: string): DeviceRequest {
  let count: number | undefined;
  let devices: string[] | null = null;
  let driver = '';
  const capabilities = ['gpu'];
  let options: Record<string, string> = {};
  const seen = new Set<string>();
  for (const field of splitCsv(text)) {
    const at = field.indexOf('=');
    const key = at < 0 ? 'count' : field.slice(0, at);
    const value = at < 0 ? field : field.slice(at + 1);
    if (seen.has(key)) throw new Error(`gpu request key '${key}' can be specified only once`);
    seen.add(key);
    switch (key) {
      case 'count':
        count = countOf(value);
        break;
      case 'device':
        devices = value.split(',');
        break;
      case 'driver':
        driver = value;
        break;
      case 'capabilities':
        capabilities.push(...value.split(','));
        break;
      case 'options':
        options = Object.fromEntries(
          splitCsv(value).map((option) => {
            const [name = '', ...rest] = option.split('=');
            return [name, rest.join('=')];
          }),
        );
        break;
      default:
        throw new Error(`unexpected key '${key}' in '${field}'`);
    }
  }
  return {
    Driver: driver,
    Count: count ?? (devices === null ? 1 : 0),
    DeviceIDs: devices,
    Capabilities: [capabilities],
    Options: options,
  };
}

function countOf(text: string): number {
  if (text === 'all') return -1;
  if (!/^[+-]?\d+$/.test(text)) throw new Error(`invalid count (${text}): value must be either "all" or an integer`);
  return Number(text);
}
