/** Options of macvlan and ipvlan networks, by Docker's names, as their drivers take them. Pure. */
import { invalidParameter } from '#errdefs/errors.ts';
import { IPVLAN_FLAG, IPVLAN_MODE, type LinkKind, MACVLAN_MODE } from '#libcontainer/netlink/links.ts';

export type DirectKind = 'macvlan' | 'ipvlan';

export interface DirectOptions {
  readonly link: Extract<LinkKind, { kind: DirectKind }>;
  /** Undefined: a link of the network's own that leads nowhere. */
  readonly parent: string | undefined;
  readonly mtu: number | undefined;
}

const PARENT = 'parent';
const MTU = 'com.docker.network.driver.mtu';
const KEYS: Readonly<Record<DirectKind, readonly string[]>> = {
  macvlan: [PARENT, 'macvlan_mode'],
  ipvlan: [PARENT, 'ipvlan_mode', 'ipvlan_flag'],
};
const LINK = /^[^\s/:]{1,15}$/;

/** Errors: invalid-parameter naming the option and its value. Options of others are let be. */
export function directOptionsOf(kind: DirectKind, options: Readonly<Record<string, string>>): DirectOptions {
  const parent = options[PARENT] ?? '';
  if (parent !== '' && !LINK.test(parent)) throw invalidParameter(`invalid parent interface "${parent}"`);
  if (parent === 'lo') throw invalidParameter(`loopback interface is not a valid ${kind} parent link`);
  const mtu = options[MTU];
  // A misspelt mode would be another network than the one that was meant.
  const strange = Object.keys(options).find((key) => !key.includes('.') && !KEYS[kind].includes(key));
  if (strange !== undefined) throw invalidParameter(`unknown ${kind} option "${strange}"`);
  return {
    link: kind === 'macvlan' ? macvlanOf(options['macvlan_mode']) : ipvlanOf(options),
    parent: parent === '' ? undefined : parent,
    mtu: mtu === undefined ? undefined : Number(mtu),
  };
}

const isKey = <T extends object>(table: T, key: string): key is Extract<keyof T, string> => Object.hasOwn(table, key);

function macvlanOf(mode = ''): DirectOptions['link'] {
  const wanted = mode === '' ? 'bridge' : mode;
  if (isKey(MACVLAN_MODE, wanted)) return { kind: 'macvlan', mode: wanted };
  throw invalidParameter(`requested macvlan mode '${mode}' is not valid, 'bridge' mode is the macvlan driver default`);
}

function ipvlanOf(options: Readonly<Record<string, string>>): DirectOptions['link'] {
  const { ipvlan_mode: mode = '', ipvlan_flag: flag = '' } = options;
  const wanted = mode === '' ? 'l2' : mode;
  if (!isKey(IPVLAN_MODE, wanted)) {
    throw invalidParameter(`requested ipvlan mode '${mode}' is not valid, 'l2' mode is the ipvlan driver default`);
  }
  const wantedFlag = flag === '' ? 'bridge' : flag;
  if (!isKey(IPVLAN_FLAG, wantedFlag)) {
    throw invalidParameter(`requested ipvlan flag '${flag}' is not valid, 'bridge' is the ipvlan driver default`);
  }
  return { kind: 'ipvlan', mode: wanted, flag: wantedFlag };
}

/** 'eth0.10' → link and number of the VLAN; undefined for a name that says none. */
export function vlanOf(parent: string): { readonly base: string; readonly id: number } | undefined {
  const match = /^(.+)\.(\d{1,4})$/.exec(parent);
  const id = Number(match?.[2] ?? 0);
  return match?.[1] === undefined || id < 1 || id > 4094 ? undefined : { base: match[1], id };
}
