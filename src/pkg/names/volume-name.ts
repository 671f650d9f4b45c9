/** Names of volumes and secrets: what may be one, in dockerd's words. */
import { invalidParameter } from '#errdefs/errors.ts';

const pattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const CHARS_MAX = 255;

/** Errors: invalid-parameter; `create NAME: …`. */
export function checkVolumeName(name: string): void {
  if (name.length === 1) {
    throw invalidParameter(
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
    );
  }
  if (!pattern.test(name)) {
    throw invalidParameter(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
        'If you intended to pass a host directory, use absolute path',
    );
  }
  // It becomes the name of a directory.
  if (name.length > CHARS_MAX) throw invalidParameter(`create ${name}: volume name is longer than ${CHARS_MAX} bytes`);
}

/** Whether it could be one: for names that are looked up, and for what stands before the colon of `-v`. */
export function isVolumeName(name: string): boolean {
  return pattern.test(name) && name.length <= CHARS_MAX;
}
