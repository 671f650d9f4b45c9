/**
 * firewalld refuses what comes from links of no zone and leaves no chain to others: it is asked, over the system bus, to
 * take a bridge into its zone `trusted`, as dockerd asks for its zone. Only what runs is changed, nothing is written
 * down: a reload forgets it, and we ask again. A zone that the user has given a bridge stays.
 */
import { Bus } from '#pkg/dbus/bus.ts';
import { dbus, type DbusAnswer, ERROR } from '#pkg/dbus/messages.ts';
import { log } from '#pkg/log/log.ts';

const ZONE = 'trusted';
/** Answers that mean that it is so already. */
const SETTLED = /^(?:ZONE_ALREADY_SET|ALREADY_ENABLED|ZONE_CONFLICT|UNKNOWN_INTERFACE|NOT_ENABLED)\b/;

/** False when firewalld does not take it: who asked looks at the rules again otherwise. */
export const joinFirewalld = (bridge: string): Promise<boolean> => asked('addInterface', bridge);

/** Idempotent. */
export const leaveFirewalld = (bridge: string): Promise<boolean> => asked('removeInterface', bridge);

async function asked(member: string, bridge: string): Promise<boolean> {
  try {
    const { type, errorName, text = '' } = await ask(member, bridge);
    if (type !== ERROR || SETTLED.test(text)) return true;
    log.warn('firewalld refuses a change of its zone', { bridge, member, zone: ZONE, answer: text || errorName });
  } catch (err) {
    // Its rules are there without it: of another machine's namespace, or it is just being started again.
    log.debug('firewalld does not answer', { bridge, member, err });
  }
  return false;
}

async function ask(member: string, bridge: string): Promise<DbusAnswer> {
  await using bus = await Bus.connect('firewalld');
  // Awaited here: the bus is left at the end of this block.
  return await bus.call({
    serial: 2,
    destination: 'org.fedoraproject.FirewallD1',
    path: '/org/fedoraproject/FirewallD1',
    interface: 'org.fedoraproject.FirewallD1.zone',
    member,
    body: [dbus.string(ZONE), dbus.string(bridge)],
    noAutoStart: true,
  });
}
