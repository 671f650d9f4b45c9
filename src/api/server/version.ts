/** API versions: 1.24 … 1.51, by their second number. Negotiation is dockerd's, words included: clients match them. */
import { invalidParameter } from '#errdefs/errors.ts';

export const API_MINOR_MAX = 51;
export const API_MINOR_MIN = 24;
export const API_VERSION = `1.${API_MINOR_MAX}`;
export const API_VERSION_MIN = `1.${API_MINOR_MIN}`;

const PREFIX = /^\/v([0-9.]+)(\/.*)$/;

export interface VersionedPath {
  readonly minor: number;
  readonly path: string;
}

/** Splits `/v1.40/x`; `minMinor` is the oldest that is served. Without a version it is the newest. Errors: invalid-parameter outside of what we serve. */
export function splitVersion(path: string, minMinor = API_MINOR_MIN): VersionedPath {
  if (path[1] !== 'v') return { minor: API_MINOR_MAX, path };
  const match = PREFIX.exec(path);
  if (match === null) return { minor: API_MINOR_MAX, path };
  const [, version = '', rest = ''] = match;
  return { minor: minorOf(version, minMinor), path: rest };
}

function minorOf(version: string, minMinor: number): number {
  const parts = version.split('.');
  const major = Number(parts[0] ?? '');
  const minor = Number(parts[1] ?? '0');
  if (major > 1 || (major === 1 && minor > API_MINOR_MAX)) {
    throw invalidParameter(`client version ${version} is too new. Maximum supported API version is ${API_VERSION}`);
  }
  if (major < 1 || minor < minMinor) {
    throw invalidParameter(
      `client version ${version} is too old. Minimum supported API version is 1.${minMinor}, ` +
        'please upgrade your client to a newer version',
    );
  }
  return minor;
}
