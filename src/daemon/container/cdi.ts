/**
 * CDI devices of a container: specifications are read anew at each start that asks for one, as the vendors' tools write
 * them at any time. One that cannot be read is told in the log and takes nothing but its own devices with it.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import type { DeviceRequest } from '#api/types/host-config.ts';
import { applyEdits, nodeOf } from '#container/cdi/apply.ts';
import { type CdiSpec, parseCdiSpec } from '#container/cdi/cdi-spec.ts';
import { cdiDevices, resolveRequests } from '#container/cdi/resolve.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { Spec } from '#libcontainer/spec.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';
import { deviceAt } from './devices.ts';

const FILE_BYTES_MAX = 4 << 20;
const FILES_MAX = 1000;

/** Errors: invalid-parameter. */
export function withRequestedDevices(
  services: Pick<Services, 'settings'>,
  spec: Spec,
  requests: readonly DeviceRequest[],
): Spec {
  const devices = cdiDevices(services.settings.containerDefaults.cdiSpecDirs.map(readDirectory));
  const edits = resolveRequests(requests, devices);
  return applyEdits(spec, edits, (node) => nodeOf(node, deviceAt(node.hostPath, node.path, node.permissions)));
}

/** Names of all devices, for /info. */
export function discoveredDevices(services: Pick<Services, 'settings'>): string[] {
  return [...cdiDevices(services.settings.containerDefaults.cdiSpecDirs.map(readDirectory)).keys()].sort();
}

function readDirectory(directory: string): CdiSpec[] {
  let names: string[];
  try {
    names = fs.readdirSync(directory);
  } catch {
    return []; // most hosts have none
  }
  return names
    .filter((name) => name.endsWith('.json') || name.endsWith('.yaml'))
    .sort()
    .slice(0, FILES_MAX)
    .flatMap((name) => {
      const file = path.join(directory, name);
      try {
        return [readSpec(file)];
      } catch (err) {
        log.warn('a CDI specification cannot be used', { file, err: messageOf(err) });
        return [];
      }
    });
}

function readSpec(file: string): CdiSpec {
  const { size } = fs.statSync(file);
  if (size > FILE_BYTES_MAX) throw invalidParameter(`it has ${size} bytes, ${FILE_BYTES_MAX} are too many`);
  return parseCdiSpec(fs.readFileSync(file, 'utf8'), file.endsWith('.json') ? 'json' : 'yaml');
}
