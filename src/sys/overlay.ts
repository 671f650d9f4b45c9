/**
 * An overlay as a detached mount. Since Linux 6.8 lower directories are given one by one, so neither their number nor the
 * length of their paths is bounded by a page; older kernels accept the option and fail at CREATE with EINVAL, and then
 * the old single option is used, which must fit into fsconfig's 255 bytes.
 */
import { isErrno } from './errno.ts';
import { ownedFd } from './files.ts';
import { assertFits, fsconfig, FSCONFIG_BYTES_MAX, fsmount, fsopen } from './mounts.ts';

export interface OverlayRequest {
  /** Topmost first. Paths, or short links to them. */
  readonly lower: readonly string[];
  /** Without them the overlay is read-only. */
  readonly upper?: string;
  readonly work?: string;
  /** More options of overlayfs; undefined is a flag. */
  readonly options?: Readonly<Record<string, string | undefined>>;
  readonly attributes?: number;
}

let lowerOneByOne: boolean | undefined;

/** Whether this kernel takes lower directories one by one; known after the first overlay. */
export function overlayTakesManyLayers(): boolean | undefined {
  return lowerOneByOne;
}

/** Descriptor of the mount's root. */
export function detachedOverlay(request: OverlayRequest): number {
  if (lowerOneByOne !== false) {
    try {
      const fd = make(request, (context) => {
        for (const directory of request.lower) fsconfig(context, 'lowerdir+', fitting(directory));
      });
      lowerOneByOne = true;
      return fd;
    } catch (error) {
      if (lowerOneByOne === true || !isErrno(error, 'EINVAL')) throw error;
    }
  }
  const joined = request.lower.map((path) => path.replace(/[\\:]/g, '\\$&')).join(':');
  if (Buffer.byteLength(joined) > FSCONFIG_BYTES_MAX) {
    throw new RangeError(
      `this kernel (before 6.8) takes lower directories of ${FSCONFIG_BYTES_MAX} bytes in all, not "${joined}"`,
    );
  }
  const fd = make(request, (context) => fsconfig(context, 'lowerdir', joined));
  lowerOneByOne = false;
  return fd;
}

function fitting(path: string): string {
  assertFits(path);
  return path;
}

function make(request: OverlayRequest, lower: (context: number) => void): number {
  using context = ownedFd(fsopen('overlay'));
  fsconfig(context.fd, 'source', 'overlay');
  lower(context.fd);
  if (request.upper !== undefined) fsconfig(context.fd, 'upperdir', fitting(request.upper));
  if (request.work !== undefined) fsconfig(context.fd, 'workdir', fitting(request.work));
  for (const [key, value] of Object.entries(request.options ?? {})) fsconfig(context.fd, key, value);
  return fsmount(context.fd, request.attributes ?? 0);
}
