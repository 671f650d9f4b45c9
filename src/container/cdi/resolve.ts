/**
 * Which devices a container's DeviceRequests mean: CDI names as they are, GPUs (`--gpus`) by the CDI specifications of
 * their vendors. Pure; the specifications come in, those of a later directory take precedence.
 */
import type { DeviceRequest } from '#api/types/host-config.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { type CdiEdits, type CdiSpec, isQualifiedName } from './cdi-spec.ts';

const GPU_KINDS = ['nvidia.com/gpu', 'amd.com/gpu', 'intel.com/gpu'];

interface Entry {
  readonly device: CdiEdits;
  readonly spec: CdiSpec;
}

/** Every device by its qualified name. `directories`: in rising precedence, each with its specifications. */
export function cdiDevices(directories: readonly (readonly CdiSpec[])[]): Map<string, Entry> {
  const devices = new Map<string, Entry>();
  for (const specs of directories) {
    const here = new Map<string, Entry | undefined>();
    for (const spec of specs) {
      for (const [name, device] of spec.devices) {
        const qualified = `${spec.kind}=${name}`;
        // Two of one directory contradict each other: neither is taken.
        here.set(qualified, here.has(qualified) ? undefined : { device, spec });
      }
    }
    for (const [name, entry] of here) {
      if (entry === undefined) devices.delete(name);
      else devices.set(name, entry);
    }
  }
  return devices;
}

/** What is done to the container, in order. Errors: invalid-parameter in the words of dockerd. */
export function resolveRequests(
  requests: readonly DeviceRequest[],
  devices: ReadonlyMap<string, Entry>,
): readonly CdiEdits[] {
  const names = requests.flatMap((request) => namesOf(request, devices));
  const unknown = names.filter((name) => !devices.has(name));
  if (unknown.length > 0) {
    throw invalidParameter(`CDI device injection failed: unresolvable CDI devices ${unknown.join(', ')}`);
  }
  const edits: CdiEdits[] = [];
  const seen = new Set<CdiSpec>();
  for (const name of new Set(names)) {
    const entry = devices.get(name);
    if (entry === undefined) continue;
    // What belongs to all devices of a specification is done once.
    if (!seen.has(entry.spec)) edits.push(entry.spec.edits);
    seen.add(entry.spec);
    edits.push(entry.device);
  }
  return edits;
}

function namesOf(request: DeviceRequest, devices: ReadonlyMap<string, Entry>): string[] {
  const ids = request.DeviceIDs ?? [];
  if (request.Driver === 'cdi') {
    if (request.Count !== 0) throw invalidParameter('CDI device injection failed: a count is not supported');
    for (const id of ids) {
      if (!isQualifiedName(id)) throw invalidParameter(`CDI device injection failed: "${id}" is no CDI device name`);
    }
    return [...ids];
  }
  const gpu = (request.Capabilities ?? []).some((all) => all.includes('gpu'));
  const kind = GPU_KINDS.find(
    (one) => (request.Driver === '' || one.startsWith(request.Driver)) && devicesOf(one, devices).length > 0,
  );
  if (!gpu || kind === undefined) throw noDriver(request);
  if (ids.length > 0 && request.Count !== 0)
    throw invalidParameter('cannot set both Count and DeviceIDs on device request');
  if (ids.length > 0) return ids.map((id) => `${kind}=${id}`);
  if (request.Count >= 0) return Array.from({ length: request.Count }, (_, i) => `${kind}=${i}`);
  return devices.has(`${kind}=all`) ? [`${kind}=all`] : devicesOf(kind, devices);
}

const devicesOf = (kind: string, devices: ReadonlyMap<string, Entry>): string[] =>
  [...devices.keys()].filter((name) => name.startsWith(`${kind}=`));

function noDriver({ Driver: driver, Capabilities: capabilities }: DeviceRequest): Error {
  const shown = (capabilities ?? []).map((all) => `[${all.join(' ')}]`).join(' ');
  return invalidParameter(`could not select device driver "${driver}" with capabilities: [${shown}]`);
}
