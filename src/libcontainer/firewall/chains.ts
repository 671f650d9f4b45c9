/** The chains of nftables, ours and those of others: asked of the kernel, where the library would read all tables. */
import { decodeAttributes, textOf } from '#libcontainer/netlink/codec.ts';
import { netfilterSocket } from '#libcontainer/netlink/netfilter.ts';
import { familyOf, MESSAGE, NFGENMSG_BYTES, type NftFamily, nftRequest, numberOf } from './nfnetlink.ts';

export interface Chain {
  readonly family: NftFamily | '';
  readonly table: string;
  readonly name: string;
  /** Undefined: packets come to it by other chains only. */
  readonly hook: string | undefined;
  /** 'accept' or 'drop', of one with a hook. */
  readonly policy: string | undefined;
}

const CHAIN = { table: 1, name: 3, hook: 4, policy: 5 } as const;
const HOOK_NUMBER = 1;
const HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting'] as const;
/** Families whose hooks have other numbers. */
const OTHER_HOOKS: ReadonlySet<string> = new Set(['arp', 'netdev']);

/** Pure. */
export function decodeChain(payload: Uint8Array): Chain {
  const family = familyOf(payload[0]);
  const attributes = decodeAttributes(payload.subarray(NFGENMSG_BYTES));
  const text = (type: number): string => textOf(attributes.get(type) ?? new Uint8Array());
  const hook = attributes.get(CHAIN.hook);
  const number = hook === undefined ? undefined : numberOf(decodeAttributes(hook).get(HOOK_NUMBER));
  const policy = numberOf(attributes.get(CHAIN.policy));
  return {
    family,
    table: text(CHAIN.table),
    name: text(CHAIN.name),
    hook: number === undefined || OTHER_HOOKS.has(family) ? undefined : HOOKS[number],
    policy: policy === undefined || hook === undefined ? undefined : policy === 0 ? 'drop' : 'accept',
  };
}

/** Throws NetlinkError where the kernel has no nftables. */
export const listChains = (): Chain[] =>
  netfilterSocket().dump(nftRequest({ name: 'list chains', message: MESSAGE.getChain }), decodeChain);
