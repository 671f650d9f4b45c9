/**
 * Names of systemd's slices as places for containers. Nothing but systemd may make groups in a slice, so containers of a
 * slice are in a scope of ours there, which systemd has delegated to us: `/foo.slice/berth.foo.scope/ID`. One scope for
 * all containers of a slice and runtime. Pure.
 */
import * as path from 'node:path/posix';
import { invalidParameter } from '#errdefs/errors.ts';

const SUFFIX = '.slice';
const ROOT = '-.slice';
const UNIT_NAME_BYTES_MAX = 255;

/** `/a.slice/a-b.slice` of `a-b.slice`: in its name a dash means "below". Errors: invalid-parameter. */
export function slicePath(slice: string): string {
  if (slice === ROOT) return '/';
  const name = slice.slice(0, -SUFFIX.length);
  const parts = name.split('-');
  const isName = slice.endsWith(SUFFIX) && parts.every((part) => /^[A-Za-z0-9:_.\\@]+$/.test(part));
  if (!isName || slice.length > UNIT_NAME_BYTES_MAX) {
    throw invalidParameter(`Cannot use ${JSON.stringify(slice)} as cgroup-parent: not the name of a slice`);
  }
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join('-')}${SUFFIX}`).join('');
}

/**
 * Parent of the containers of a slice. `own`: parent of all others, `/berth.slice/NAME.scope`. `runtime`: another than
 * ours, whose containers have a monitor and so a scope of their own: `/foo.slice/berth:runc.foo.scope/ID`.
 */
export function sliceParent(own: string, slice: string, runtime = ''): string {
  const whose = runtime === '' ? '' : `:${runtime.replaceAll(/[^A-Za-z0-9_.]/g, (c) => `:${c.codePointAt(0)}`)}`;
  const name = `${path.basename(own, '.scope')}${whose}.${slice.slice(0, -SUFFIX.length)}.scope`;
  return path.join(slicePath(slice), name);
}

export interface SliceScope {
  readonly slice: string;
  readonly scope: string;
  /** Of the scope, below the mount point. */
  readonly path: string;
}

/** The scope that a container's group of `groupPath` needs; undefined when it lies in none but `own`. */
export function scopeOfGroup(own: string, groupPath: string): SliceScope | undefined {
  const parent = path.dirname(groupPath);
  const scope = path.basename(parent);
  const above = path.dirname(parent);
  const inSlice = above === '/' || above.endsWith(SUFFIX);
  if (parent === own || !scope.endsWith('.scope') || !inSlice) return undefined;
  return { slice: above === '/' ? ROOT : path.basename(above), scope, path: parent };
}
