/**
 * Which user namespace a container gets, decided once at create. Namespaces of another container can only be joined
 * together with its user namespace: what is in them belongs to it.
 */
import type { HostConfig } from '#api/types/host-config.ts';
import type { ContainerRecord } from '#container/record.ts';
import { parseUsernsMode, RANGE_SIZE, type UserNamespace } from '#container/user-namespace.ts';
import { containerOfMode } from '#container/validate.ts';
import { invalidParameter, messageOf, notImplemented } from '#errdefs/errors.ts';
import { allocate, type Pool } from './ranges.ts';

export interface UsernsServices {
  readonly containers: {
    resolve(reference: string): ContainerRecord;
    everything(): ContainerRecord[];
  };
  readonly userns: UsernsDefaults;
}

export interface UsernsDefaults {
  /** `userns-remap`; 'auto': a range for each container; undefined: the host's user namespace. */
  readonly remap: UserNamespace | 'auto' | undefined;
  readonly pool: Pool;
}

const NATIVE_RUNTIME = 'berth';

/**
 * No `await` may lie between this and the record's insertion: the range is taken by it.
 * Errors: invalid-parameter, not-implemented, unavailable.
 */
export function userNamespaceOf(services: UsernsServices, host: HostConfig): UserNamespace | undefined {
  const request = parseUsernsMode(host.UsernsMode);
  const others = joinedContainers(services, host);
  const userns = chosen(services, request, others);
  if (userns !== undefined) refuseHostParts(host);
  const other = others.find(({ record }) => !livesIn(services, record, userns));
  if (other !== undefined) {
    throw invalidParameter(
      `cannot join the ${other.kind} namespace of container ${other.record.id.slice(0, 12)}: it has another user namespace`,
    );
  }
  return userns;
}

interface Joined {
  readonly kind: string;
  readonly record: ContainerRecord;
}

function joinedContainers(services: UsernsServices, host: HostConfig): Joined[] {
  const modes = [
    ['network', host.NetworkMode],
    ['PID', host.PidMode],
    ['IPC', host.IpcMode],
  ] as const;
  return modes.flatMap(([kind, mode]) => {
    const reference = containerOfMode(mode);
    return reference === undefined ? [] : [{ kind, record: services.containers.resolve(reference) }];
  });
}

function chosen(
  services: UsernsServices,
  request: ReturnType<typeof parseUsernsMode>,
  others: readonly Joined[],
): UserNamespace | undefined {
  switch (request.kind) {
    case 'host':
      return undefined;
    case 'container':
      return shared(resolved(services, request.container));
    case 'auto':
      return ownRange(services, request.size);
    case 'default': {
      const [other] = others;
      const { remap } = services.userns;
      if (other !== undefined) return shared(other.record);
      return remap === 'auto' ? ownRange(services, RANGE_SIZE) : remap;
    }
    default:
      return request satisfies never;
  }
}

function ownRange({ containers, userns: { remap, pool } }: UsernsServices, size: number): UserNamespace {
  const taken = containers.everything().flatMap(({ userns }) => userns ?? []);
  return allocate(pool, remap === undefined || remap === 'auto' ? taken : [...taken, remap], size);
}

function resolved(services: UsernsServices, reference: string): ContainerRecord {
  try {
    return services.containers.resolve(reference);
  } catch (cause) {
    // Not a not-found: that sends `docker run` to pull the image.
    throw invalidParameter(`joining user namespace of container: ${messageOf(cause)}`, { cause });
  }
}

function shared(record: ContainerRecord): UserNamespace | undefined {
  const { userns } = record;
  return userns === undefined ? undefined : { uids: userns.uids, gids: userns.gids, container: record.id };
}

/** Id of the container whose namespace a container is in; undefined: the host's. */
function ownerOf(services: UsernsServices, record: ContainerRecord): string | undefined {
  let owner = record;
  for (let next = owner.userns?.container; next !== undefined; next = owner.userns?.container) {
    const found = services.containers.everything().find(({ id }) => id === next);
    if (found === undefined) return next;
    owner = found;
  }
  return owner.userns === undefined ? undefined : owner.id;
}

/** Whether a container is in the namespace that another one will join; one of its own is nobody else's. */
function livesIn(services: UsernsServices, record: ContainerRecord, userns: UserNamespace | undefined): boolean {
  if (userns === undefined) return record.userns === undefined;
  if (userns.container === undefined) return false;
  return ownerOf(services, record) === ownerOf(services, services.containers.resolve(userns.container));
}

/** dockerd's words. */
function refuseHostParts(host: HostConfig): void {
  if (host.Privileged) {
    throw invalidParameter(
      'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode',
    );
  }
  if (host.NetworkMode === 'host') {
    throw invalidParameter("cannot share the host's network namespace when user namespaces are enabled");
  }
  if (host.PidMode === 'host') {
    throw invalidParameter('cannot share the host PID namespace when user namespaces are enabled');
  }
  if (host.IpcMode === 'host') {
    throw invalidParameter("cannot share the host's IPC namespace when user namespaces are enabled");
  }
  const runtime = host.Runtime ?? '';
  if (runtime !== '' && runtime !== NATIVE_RUNTIME) {
    throw notImplemented(`Runtime "${runtime}" cannot be used with a user namespace: only the engine's own can`);
  }
}
