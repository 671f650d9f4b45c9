/** Endpoints of exec'd processes. */
import type { ExecCreateRequest, ExecCreateResponse, ExecInspect, ExecStartRequest } from '#api/types/exec.ts';
import type { ApiClient } from './api-client.ts';
import type { HijackedConnection } from './hijack.ts';

const at = (exec: string, verb: string) => `/exec/${encodeURIComponent(exec)}${verb}`;

export function createExec(
  client: ApiClient,
  container: string,
  request: Partial<ExecCreateRequest>,
): Promise<ExecCreateResponse> {
  return client.json('POST', `/containers/${encodeURIComponent(container)}/exec`, { json: request });
}

export function startExecDetached(client: ApiClient, exec: string, request: ExecStartRequest): Promise<void> {
  return client.call('POST', at(exec, '/start'), { json: request });
}

export function startExecAttached(
  client: ApiClient,
  exec: string,
  request: ExecStartRequest,
): Promise<HijackedConnection> {
  return client.hijack(at(exec, '/start'), { json: request });
}

export function inspectExec(client: ApiClient, exec: string): Promise<ExecInspect> {
  return client.json('GET', at(exec, '/json'));
}

export function resizeExec(client: ApiClient, exec: string, height: number, width: number): Promise<void> {
  return client.call('POST', at(exec, '/resize'), { query: { h: height, w: width } });
}
