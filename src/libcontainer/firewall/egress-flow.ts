/**
 * What the rules of an egress policy would say of a connection that exists already: the same order as in egress-text.ts.
 * Pure. Names count by the addresses that they have led to.
 */
import { addressBytes } from '#libcontainer/netlink/ip.ts';
import { type EgressEntry, type EgressPolicy, type EgressPorts, reachOfName } from './egress-policy.ts';

/** A connection of a container to somewhere outside its networks. */
export interface EgressFlow {
  /** 6: TCP, 17: UDP, 132: SCTP. */
  readonly protocol: number;
  /** Who answers, and on which port; 0 where there are none. */
  readonly answers: string;
  readonly answersPort: number;
  /** The port that was asked: another one where it is translated. */
  readonly toPort: number;
  /** It is with the host itself, or was begun with a port that the host publishes. */
  readonly withHost: boolean;
}

/** A name that a container has asked for, and an address of it. */
export interface LearnedName {
  readonly name: string;
  readonly address: string;
}

const NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const;

function includes(ports: EgressPorts, protocol: number, port: number): boolean {
  const known = Object.values(NUMBERS).some((number) => number === protocol);
  const wanted = ports.protocol === undefined ? known : NUMBERS[ports.protocol] === protocol;
  return wanted && port >= ports.first && port <= ports.last;
}

/** '10.0.0.0/8', 'fd00::/8' */
function isIn(network: string, address: string): boolean {
  const [base = '', length = ''] = network.split('/');
  const [a, b] = [addressBytes(base), addressBytes(address)];
  if (a.length !== b.length) return false;
  const bits = Number(length);
  return a.every((byte, i) => {
    const mask = (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff;
    return ((byte ^ (b[i] ?? 0)) & mask) === 0;
  });
}

function matches({ target, ports }: EgressEntry, flow: EgressFlow): boolean {
  if (target.kind === 'name') return false;
  if (target.kind === 'host') {
    return flow.withHost && (ports === undefined || includes(ports, flow.protocol, flow.toPort));
  }
  if (!isIn(target.network, flow.answers)) return false;
  return ports === undefined || includes(ports, flow.protocol, flow.answersPort);
}

/** `learned`: of the container. */
export function allowsFlow(policy: EgressPolicy, flow: EgressFlow, learned: readonly LearnedName[]): boolean {
  if (policy.deny.some((entry) => matches(entry, flow))) return false;
  if (!policy.refusesRest || policy.allow.some((entry) => matches(entry, flow))) return true;
  return learned.some(({ name, address }) => {
    if (address !== flow.answers) return false;
    const reach = reachOfName([policy], name);
    if (!reach.allowed) return false;
    return reach.ports === undefined || reach.ports.some((ports) => includes(ports, flow.protocol, flow.answersPort));
  });
}
