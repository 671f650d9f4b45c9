/** HostConfig.Secrets (`--secret`): which secret a container gets, as what and where. Podman's defaults. */
import * as path from 'node:path/posix';
import type { SecretRequest } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { checkDestination } from './mount-spec.ts';

export const SECRETS_DIRECTORY = '/run/secrets';
const DEFAULT_MODE = 0o444;
const ID_MAX = 0xffff_fffe;
const variablePattern = /^[^=\0]+$/;

export type SecretUse =
  | { readonly kind: 'env'; readonly secret: string; readonly variable: string }
  | {
      readonly kind: 'file';
      readonly secret: string;
      /** Absolute and clean. */
      readonly target: string;
      readonly uid: number;
      readonly gid: number;
      readonly mode: number;
    };

/** Errors: invalid-parameter. */
export function parseSecrets(requests: readonly SecretRequest[]): SecretUse[] {
  const uses = requests.map(parseSecret);
  const places = uses.map((use) => (use.kind === 'env' ? use.variable : use.target));
  const twice = places.find((place, index) => places.indexOf(place) !== index);
  if (twice !== undefined) throw invalidParameter(`two secrets have the target "${twice}"`);
  return uses;
}

function parseSecret(request: SecretRequest): SecretUse {
  const { Source: secret, Type: type = 'mount', Target: target = '' } = request;
  if (secret === '') throw invalidParameter('a secret must be named');
  if (type === 'env') {
    if (request.UID !== undefined || request.GID !== undefined || request.Mode !== undefined) {
      throw invalidParameter(`secret ${secret}: UID, GID and Mode mean nothing for a variable`);
    }
    const variable = target === '' ? secret : target;
    if (!variablePattern.test(variable)) throw invalidParameter(`secret ${secret}: "${variable}" is no variable`);
    return { kind: 'env', secret, variable };
  }
  if (type !== 'mount') throw invalidParameter(`secret ${secret}: type "${type}" is invalid: use "mount" or "env"`);
  const { UID: uid = 0, GID: gid = 0, Mode: mode = DEFAULT_MODE } = request;
  for (const id of [uid, gid]) {
    if (!Number.isSafeInteger(id) || id < 0 || id > ID_MAX) throw invalidParameter(`secret ${secret}: ${id} is no id`);
  }
  if (!Number.isSafeInteger(mode) || mode < 0 || mode > 0o777) {
    throw invalidParameter(`secret ${secret}: mode ${mode.toString(8)} is invalid`);
  }
  const place = target.startsWith('/') ? target : path.join(SECRETS_DIRECTORY, target === '' ? secret : target);
  const clean = checkDestination(place);
  if (!target.startsWith('/') && !clean.startsWith(`${SECRETS_DIRECTORY}/`)) {
    throw invalidParameter(`secret ${secret}: target "${target}" leaves ${SECRETS_DIRECTORY}`);
  }
  return { kind: 'file', secret, target: clean, uid, gid, mode };
}
