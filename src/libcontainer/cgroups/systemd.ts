/**
 * Asks systemd for a scope of our own by one StartTransientUnit on the system bus. A scope is not a service: it has no
 * process that systemd started, it stays through daemon-reload and the death of every process in it but the last.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { deadlineExceeded, systemError } from '#errdefs/errors.ts';
import { Bus } from '#pkg/dbus/bus.ts';
import { dbus, type DbusCall, type DbusValue, ERROR } from '#pkg/dbus/messages.ts';

const ANSWER_LIMIT_MS = 10_000;
const UNIT_EXISTS = 'org.freedesktop.systemd1.UnitExists';
const SYSTEMD = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
};

export interface ScopeRequest {
  readonly scope: string;
  readonly slice: string;
  readonly pids: readonly number[];
  /** At shutdown this unit is stopped before the scope, so that we end containers and not systemd. */
  readonly before: string;
  /** One of this name that is there is just going: wait for that. Without it the processes are put into that one. */
  readonly waitForOld?: boolean;
  /** Path of the bus's socket; for tests. */
  readonly bus?: string;
}

/** The call, pure. */
export function scopeCall(request: ScopeRequest, serial: number): DbusCall {
  const property = (name: string, value: DbusValue) => dbus.struct(dbus.string(name), dbus.variant(value));
  const properties = [
    property('Description', dbus.string('Berth containers')),
    property('Slice', dbus.string(request.slice)),
    property('Delegate', dbus.boolean(true)),
    property('TasksMax', dbus.uint64(0xffff_ffff_ffff_ffffn)),
    property('CollectMode', dbus.string('inactive-or-failed')),
    property('PIDs', dbus.array('u', request.pids.map(dbus.uint32))),
    property('Before', dbus.array('s', [dbus.string(request.before)])),
  ];
  const body = [
    dbus.string(request.scope),
    dbus.string('fail'),
    dbus.array('(sv)', properties),
    dbus.array('(sa(sv))', []),
  ];
  return { ...SYSTEMD, serial, member: 'StartTransientUnit', body };
}

/** The call for a scope of v1 that is there already, with containers of a monitor that died. Pure. */
export function attachCall({ scope, pids }: ScopeRequest, serial: number): DbusCall {
  const body = [dbus.string(scope), dbus.string(''), dbus.array('u', pids.map(dbus.uint32))];
  return { ...SYSTEMD, serial, member: 'AttachProcessesToUnit', body };
}

/** Settles when the processes are in the scope. */
export async function adoptIntoScope(request: ScopeRequest): Promise<void> {
  await using bus = await Bus.connect('systemd', request.bus);
  const asked = performance.now();
  let serial = 2;
  let answer = await bus.call(scopeCall(request, serial));
  while (answer.errorName === UNIT_EXISTS && request.waitForOld && performance.now() - asked < ANSWER_LIMIT_MS) {
    await sleep(20);
    answer = await bus.call(scopeCall(request, ++serial));
  }
  if (answer.errorName === UNIT_EXISTS && !request.waitForOld) answer = await bus.call(attachCall(request, ++serial));
  if (answer.type === ERROR) {
    const reason = `${answer.errorName}: ${answer.text ?? ''}`;
    throw systemError(`Cannot make systemd unit "${request.scope}": ${reason}`);
  }
  // The answer names a job that is queued; it is done when the processes have moved.
  const isThere = (pid: number) => readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`/${request.scope}`);
  for (const started = performance.now(); !request.pids.every(isThere); await sleep(5)) {
    if (performance.now() - started > ANSWER_LIMIT_MS) {
      throw deadlineExceeded(`Cannot make systemd unit "${request.scope}": not there after ${ANSWER_LIMIT_MS} ms`);
    }
  }
}
