/** exec create: checked and recorded; nothing runs yet. */
import { randomBytes } from 'node:crypto';
import type { ExecCreateRequest } from '#api/types/exec.ts';
import { can } from '#container/state.ts';
import { conflict, invalidParameter, messageOf } from '#errdefs/errors.ts';
import { parseDetachKeys } from '#pkg/detach-keys/detach-keys.ts';
import { userInRoot } from '#libcontainer/process-plan.ts';
import { isErrno } from '#sys/errno.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { ContainerRecord } from '#container/record.ts';
import { commandText, publishContainerEvent } from '../container/event.ts';
import type { Services } from '../services.ts';

/** Errors: conflict when the container is paused or does not run. */
export function createExec(services: Services, reference: string, request: ExecCreateRequest): { Id: string } {
  const record = services.containers.resolve(reference);
  const { status } = record.state;
  if (status === 'paused') throw conflict(`Container ${reference} is paused, unpause the container before exec`);
  if (status === 'restarting') {
    throw conflict(`Container ${record.id} is restarting, wait until the container is running`);
  }
  if (!can(record.state, 'exec')) throw conflict(`container ${record.id} is not running`);
  const command = request.Cmd ?? [];
  if (command.length === 0) throw invalidParameter('No exec command specified');
  if (command.some((word) => word.includes('\0'))) throw invalidParameter('invalid command: it contains a NUL byte');
  for (const entry of request.Env ?? []) {
    if (entry === '' || entry.startsWith('=') || entry.includes('\0')) {
      throw invalidParameter(`invalid environment variable: ${entry}`);
    }
  }
  parseDetachKeys(request.DetachKeys, 'escape');
  checkUser(record, request.User);
  const id = randomBytes(32).toString('hex');
  services.execs.save({ id, containerId: record.id, request, status: 'created', pid: 0, exitCode: null });
  publishContainerEvent(services.events, record, `exec_create: ${commandText(command)}`, { execID: id });
  return { Id: id };
}

/** A name is looked up now, so that a wrong one is an error of the request; the start looks it up again. */
function checkUser({ id, state }: ContainerRecord, user: string): void {
  if (/^\d*(:\d*)?$/.test(user)) return;
  try {
    using root = ownedFd(open(`/proc/${state.pid}/root`, O.PATH | O.DIRECTORY));
    userInRoot(user, root.fd);
  } catch (cause) {
    if (isErrno(cause)) throw conflict(`container ${id} is not running`, { cause });
    throw invalidParameter(messageOf(cause), { cause });
  }
}
