/** CDI edits on the spec of a container. Pure: numbers of devices come in. */
import { invalidParameter } from '#errdefs/errors.ts';
import type { Hooks, Spec } from '#libcontainer/spec.ts';
import { depth } from '../mount-spec.ts';
import type { HostDevice } from '../spec/devices.ts';
import type { CdiDeviceNode, CdiEdits } from './cdi-spec.ts';

/** The node on the host, as it is now. */
export type LookUp = (node: CdiDeviceNode) => HostDevice;

/** Errors: invalid-parameter. */
export function applyEdits(spec: Spec, edits: readonly CdiEdits[], lookUp: LookUp): Spec {
  const { process, linux = {}, mounts = [] } = spec;
  if (process === undefined || edits.length === 0) return spec;
  const nodes = new Map(edits.flatMap((e) => e.deviceNodes).map((node) => [node.path, node]));
  const devices = [...nodes.values()].map(lookUp);
  const added = edits.flatMap((e) => e.mounts);
  const replaced = new Set(added.map((mount) => mount.containerPath));
  const allowed = devices
    .filter(({ type }) => type !== 'p')
    .map(({ type, major, minor, access }) => ({ allow: true, type, major, minor, access }));
  return {
    ...spec,
    process: {
      ...process,
      env: mergedEnv(
        process.env ?? [],
        edits.flatMap((e) => e.env),
      ),
      user: {
        ...process.user,
        additionalGroups: [
          ...(process.user.additionalGroups ?? []),
          ...new Set(
            edits
              .flatMap((e) => e.additionalGids)
              .filter((gid) => gid !== 0)
              .map(String),
          ),
        ],
      },
    },
    mounts: [
      ...mounts.filter((mount) => !replaced.has(mount.destination)),
      ...added
        .map(({ containerPath, hostPath, type, options }) => ({
          destination: containerPath,
          source: hostPath,
          type,
          options:
            type === 'bind' && !options.some((o) => ['bind', 'rbind'].includes(o))
              ? ['rbind', ...options]
              : [...options],
        }))
        .sort((a, b) => depth(a.destination) - depth(b.destination)),
    ],
    ...hooksOf(spec, edits),
    linux: {
      ...linux,
      devices: [...(linux.devices ?? []).filter(({ path }) => !nodes.has(path)), ...devices],
      resources: { ...linux.resources, devices: [...(linux.resources?.devices ?? []), ...allowed] },
    },
  };
}

function mergedEnv(env: readonly string[], added: readonly string[]): string[] {
  const nameOf = (entry: string): string => entry.slice(0, entry.indexOf('='));
  const names = new Set(added.map(nameOf));
  // Of two edits with one name the later counts.
  const last = new Map(added.map((entry) => [nameOf(entry), entry]));
  return [...env.filter((entry) => !names.has(nameOf(entry))), ...last.values()];
}

function hooksOf(spec: Spec, edits: readonly CdiEdits[]): Pick<Spec, 'hooks'> {
  const hooks = edits.flatMap((e) => e.hooks);
  if (hooks.length === 0) return {};
  const all: { -readonly [K in keyof Hooks]: Hooks[K] } = { ...spec.hooks };
  for (const { kind, ...hook } of hooks) all[kind] = [...(all[kind] ?? []), hook];
  return { hooks: all };
}

/** A node whose type and numbers the specification says need not be there. */
export function nodeOf(node: CdiDeviceNode, found: HostDevice | undefined): HostDevice {
  const { type = found?.type, major = found?.major, minor = found?.minor } = node;
  if (type === undefined || (type !== 'p' && (major === undefined || minor === undefined))) {
    throw invalidParameter(`CDI device injection failed: "${node.hostPath}" is no device of this host`);
  }
  const fileMode = node.fileMode ?? found?.fileMode;
  const uid = node.uid ?? found?.uid;
  const gid = node.gid ?? found?.gid;
  return {
    type,
    path: node.path,
    major: major ?? 0,
    minor: minor ?? 0,
    ...(fileMode === undefined ? {} : { fileMode }),
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    access: node.permissions,
  };
}
