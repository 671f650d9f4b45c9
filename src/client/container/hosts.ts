/** `--add-host name:ip` and `--dns ip`. */
import { isAddress } from './ip.ts';

const HOST_GATEWAY = 'host-gateway';

/** `name=ip` and `[v6]` are accepted too and become what the API takes. */
export function checkHost(text: string): string {
  const match = /^([^:=]+)[:=](.*)$/s.exec(text);
  const [, name = '', given = ''] = match ?? [];
  if (match === null || name === '') throw new Error(`bad format for add-host: "${text}"`);
  const address = given.replace(/^\[(.*)\]$/, '$1');
  if (address !== HOST_GATEWAY && !isAddress(address)) throw new Error(`invalid IP address in add-host: "${given}"`);
  return `${name}:${address}`;
}

export function checkServer(text: string): string {
  if (!isAddress(text.trim())) throw new Error(`IP address is not correctly formatted: ${text}`);
  return text.trim();
}
