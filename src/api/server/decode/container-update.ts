/** The body of POST /containers/{id}/update: dockerd's fields beside our own part. */
import type { RestartBackoff } from '#api/types/container.ts';
import type { BerthUpdate, ContainerUpdateRequest } from '#api/types/update.ts';
import { health, portMap, resourcesShape, restartPolicy } from './container-create.ts';
import { given, int64, list, map, nullable, omitEmpty, optional, struct, text } from './fields.ts';

const backoff = struct<RestartBackoff>('berth.RestartBackoff', {
  FirstMs: optional(int64),
  MaxMs: optional(int64),
  SteadyAfterMs: optional(int64),
});

const berth = struct<BerthUpdate>('berth.Update', {
  Env: given(list(text)),
  Labels: given(map(nullable(text))),
  Healthcheck: optional(health),
  RestartBackoff: optional(backoff),
  LogOptions: given(map(nullable(text))),
  PublishAdd: given(portMap),
  PublishRemove: given(list(text)),
  Revision: optional(int64),
});

const updateRequest = struct<ContainerUpdateRequest>('container.UpdateConfig', {
  ...resourcesShape,
  RestartPolicy: restartPolicy,
  Berth: omitEmpty(optional(berth)),
});

/** `minor` is the client's API version 1.minor. Errors: invalid-parameter naming the field. */
export function decodeUpdateRequest(body: unknown, minor: number): ContainerUpdateRequest {
  const request = updateRequest(body, { struct: 'UpdateConfig', path: '' });
  if (minor < 40) request.PidsLimit = null;
  if (minor >= 42) delete request.KernelMemory;
  // 0 and every negative number mean no limit.
  if (request.PidsLimit !== null && request.PidsLimit <= 0) request.PidsLimit = 0;
  return request;
}
