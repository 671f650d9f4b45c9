/** exec inspect and resize. */
import type { ExecInspect } from '#api/types/exec.ts';
import { conflict } from '#errdefs/errors.ts';
import { parseDetachKeys } from '#pkg/detach-keys/detach-keys.ts';
import type { Services } from '../services.ts';

export function inspectExec(services: Services, id: string): ExecInspect {
  const exec = services.execs.get(id);
  const { request } = exec;
  const [entrypoint = '', ...words] = request.Cmd ?? [];
  return {
    ID: exec.id,
    Running: exec.status === 'running',
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: request.Tty,
      entrypoint,
      arguments: words,
      privileged: request.Privileged,
      ...(request.User === '' ? {} : { user: request.User }),
    },
    OpenStdin: request.AttachStdin,
    OpenStderr: request.AttachStderr,
    OpenStdout: request.AttachStdout,
    // It stays as long as its container, or until that has had too many: nobody is about to remove it.
    CanRemove: false,
    ContainerID: exec.containerId,
    DetachKeys: request.DetachKeys === '' ? '' : Buffer.from(parseDetachKeys(request.DetachKeys)).toString('base64'),
    Pid: exec.pid,
  };
}

/**
 * Waits for a process that is being launched: the start was answered before it is there. Errors: conflict when it does not
 * run.
 */
export async function resizeExec(services: Services, id: string, height: number, width: number): Promise<void> {
  const exec = services.execs.get(id);
  const process = await services.execs.launchedProcess(exec.id);
  if (process === undefined) throw conflict(`exec ${exec.id} is not running`);
  process.resize(height, width);
}
