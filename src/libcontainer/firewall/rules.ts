/** Rules of one chain of nftables: those that are there, and those that accept what comes or goes by a link. */
import {
  attribute,
  concat,
  decodeAttributes,
  NLM,
  type Request,
  textAttribute,
  textOf,
} from '#libcontainer/netlink/codec.ts';
import { netfilterSocket } from '#libcontainer/netlink/netfilter.ts';
import type { Chain } from './chains.ts';
import { accept, equals, expression, loadMeta, MESSAGE, NFGENMSG_BYTES, nftRequest } from './nfnetlink.ts';
import { linkPart } from './parts.ts';

export interface Rule {
  readonly handle: Uint8Array;
  readonly comment: string | undefined;
}

const RULE = { table: 1, chain: 2, handle: 3, expressions: 4, note: 7 } as const;
const META = { iifname: 6, oifname: 7 } as const;
/** A note is fields of type, length and bytes; this one is a text. */
const COMMENT = 0;
const NESTED = 0x8000;

type Place = Pick<Chain, 'family' | 'table' | 'name'>;

function requestOf(
  chain: Place,
  parts: Pick<Parameters<typeof nftRequest>[0], 'message' | 'flags' | 'attributes'>,
): Request {
  const { family, table, name } = chain;
  const { attributes = [] } = parts;
  return nftRequest({
    name: `change rules of "${family} ${table} ${name}"`,
    ...(family === '' ? {} : { family }),
    ...parts,
    attributes: [textAttribute(RULE.table, table), textAttribute(RULE.chain, name), ...attributes],
  });
}

/** Pure. */
export function decodeRule(payload: Uint8Array): Rule {
  const attributes = decodeAttributes(payload.subarray(NFGENMSG_BYTES));
  const note = attributes.get(RULE.note) ?? new Uint8Array();
  return { handle: (attributes.get(RULE.handle) ?? new Uint8Array()).slice(), comment: commentOf(note) };
}

function commentOf(note: Uint8Array): string | undefined {
  for (let at = 0; at + 2 <= note.length; at += 2 + (note[at + 1] ?? 0)) {
    if (note[at] === COMMENT) return textOf(note.subarray(at + 2, at + 2 + (note[at + 1] ?? 0)));
  }
  return undefined;
}

/** In their order. Throws NetlinkError (ENOENT: there is no such chain). */
export const listRules = (chain: Place): Rule[] =>
  netfilterSocket().dump(requestOf(chain, { message: MESSAGE.getRule }), decodeRule);

/** A request of a transaction. */
export const deleteRule = (chain: Place, { handle }: Rule): Request =>
  requestOf(chain, { message: MESSAGE.deleteRule, attributes: [attribute(RULE.handle, handle)] });

/** A request of a transaction: before all rules that are there, packets of the link pass. */
export function acceptLink(
  chain: Place,
  { way, link, comment }: { readonly way: keyof typeof META; readonly link: string; readonly comment: string },
): Request {
  const text = new TextEncoder().encode(`${comment}\0`);
  return requestOf(chain, {
    message: MESSAGE.newRule,
    flags: NLM.CREATE,
    attributes: [
      attribute(
        RULE.expressions | NESTED,
        concat([loadMeta(META[way]), equals(linkPart(link).bytes), expression('counter'), accept]),
      ),
      attribute(RULE.note, concat([Uint8Array.of(COMMENT, text.length), text])),
    ],
  });
}
