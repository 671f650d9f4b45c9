/** `--secret NAME[,type=mount|env,target=…,uid=…,gid=…,mode=…]`: podman's grammar. */
import type { SecretRequest } from '#api/types/host-config.ts';
import { splitCsv } from './csv.ts';

const numbers = { uid: 'UID', gid: 'GID' } as const;

export function parseSecret(text: string): SecretRequest {
  const secret: SecretRequest = { Source: '' };
  for (const [index, field] of splitCsv(text).entries()) {
    const [key = '', value] = field.split(/=(.*)/s);
    if (value === undefined) {
      if (index > 0) throw new Error(`invalid secret option "${field}": must be key=value`);
      secret.Source = field;
    } else if (key === 'source' || key === 'src') secret.Source = value;
    else if (key === 'type') {
      if (value !== 'mount' && value !== 'env') throw new Error(`type "${value}" is invalid: use "mount" or "env"`);
      secret.Type = value;
    } else if (key === 'target') secret.Target = value;
    else if (key === 'uid' || key === 'gid') {
      if (!/^\d+$/.test(value)) throw new Error(`invalid ${key} "${value}"`);
      secret[numbers[key]] = Number(value);
    } else if (key === 'mode') {
      if (!/^[0-7]{1,4}$/.test(value)) throw new Error(`invalid mode "${value}"`);
      secret.Mode = Number.parseInt(value, 8);
    } else throw new Error(`invalid secret option "${key}"`);
  }
  if (secret.Source === '') throw new Error(`no secret is named in "${text}"`);
  const owned = secret.UID !== undefined || secret.GID !== undefined || secret.Mode !== undefined;
  if (secret.Type === 'env' && owned) throw new Error('UID, GID, Mode options cannot be set with secret type env');
  return secret;
}
