/** The bodies of exec create and exec start. */
import type { ExecCreateRequest, ExecStartRequest } from '#api/types/exec.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import { flag, nullable, pair, strSlice, struct, text, texts } from './fields.ts';

const create = struct<ExecCreateRequest>('container.ExecOptions', {
  User: text,
  Privileged: flag,
  Tty: flag,
  ConsoleSize: nullable(pair),
  AttachStdin: flag,
  AttachStderr: flag,
  AttachStdout: flag,
  Detach: flag,
  DetachKeys: text,
  Env: texts,
  WorkingDir: text,
  Cmd: strSlice,
});

const start = struct<ExecStartRequest>('container.ExecStartOptions', {
  Detach: flag,
  Tty: flag,
  ConsoleSize: nullable(pair),
});

/** Errors: invalid-parameter naming the field, or when there is no command. */
export function decodeExecCreate(body: unknown, minor: number): ExecCreateRequest {
  const request = create(body, { struct: 'ExecOptions', path: '' });
  if (request.Cmd === null || request.Cmd.length === 0) throw invalidParameter('No exec command specified');
  if (minor < 42) request.ConsoleSize = null;
  return request;
}

export function decodeExecStart(body: unknown, minor: number): ExecStartRequest {
  const request = start(body, { struct: 'ExecStartOptions', path: '' });
  if (minor < 42 || !request.Tty) request.ConsoleSize = null;
  return request;
}
