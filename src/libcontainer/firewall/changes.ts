/**
 * What nftables tells of changes by others (`nft flush ruleset`, a reload of firewalld): did they take something of our
 * tables? Pure: a small state machine over decoded messages. A transaction ends with NEWGEN, which names the process
 * that made it, so our own are told apart.
 */
import { decodeAttributes, type Message, textOf } from '#libcontainer/netlink/codec.ts';

const SUBSYSTEM_NFTABLES = 10;
const NEWGEN = 15;
/** DELTABLE, DELCHAIN, DELRULE, DELSET, DELSETELEM. */
const DELETIONS: ReadonlySet<number> = new Set([2, 5, 8, 11, 14]);
const NFGENMSG_BYTES = 4;
const MESSAGE = { newChain: 3, deleteChain: 5, deleteRule: 8 } as const;
/** Attribute 1 of each of these is the name of the table. */
const TABLE = 1;
const CHAIN = { name: 3, hook: 4 } as const;
const RULE_CHAIN = 2;
/** Of the tables of every daemon of ours. */
const OWN_PREFIX = 'berth';
const GEN_PROC_PID = 2;

/** What transactions of others did. */
export interface Taken {
  /** They took something out of our tables. */
  readonly damaged: boolean;
  /** They changed what packets meet outside our tables: a chain of a hook, or a place where ours are accepted. */
  readonly moved: boolean;
}

export class ForeignChanges {
  readonly #table: string;
  readonly #ownPid: number;
  /** Names of chains of others in which we have rules. */
  readonly #places: ReadonlySet<string>;
  #touched = false;
  #moving = false;

  constructor(table: string, ownPid: number, places: Iterable<string> = []) {
    this.#table = table;
    this.#ownPid = ownPid;
    this.#places = new Set(places);
  }

  /** What became true by transactions that have ended in these messages. */
  take(messages: readonly Message[]): Taken {
    let damaged = false;
    let moved = false;
    for (const message of messages) {
      if (message.kind !== 'data' || message.type >> 8 !== SUBSYSTEM_NFTABLES) continue;
      const type = message.type & 0xff;
      const attributes = decodeAttributes(message.payload.subarray(NFGENMSG_BYTES));
      if (type === NEWGEN) {
        const foreign = pidOf(attributes.get(GEN_PROC_PID)) !== this.#ownPid;
        damaged ||= this.#touched && foreign;
        moved ||= this.#moving && foreign;
        this.#touched = false;
        this.#moving = false;
        continue;
      }
      const table = attributes.get(TABLE);
      const ours = table !== undefined && textOf(table) === this.#table;
      if (DELETIONS.has(type)) this.#touched ||= ours;
      const another = table !== undefined && !textOf(table).startsWith(OWN_PREFIX);
      if (another) this.#moving ||= this.#matters(type, attributes);
    }
    return { damaged, moved };
  }

  #matters(type: number, attributes: ReadonlyMap<number, Uint8Array>): boolean {
    const named = (name: Uint8Array | undefined) => name !== undefined && this.#places.has(textOf(name));
    if (type === MESSAGE.newChain || type === MESSAGE.deleteChain) {
      return attributes.has(CHAIN.hook) || named(attributes.get(CHAIN.name));
    }
    return type === MESSAGE.deleteRule && named(attributes.get(RULE_CHAIN));
  }
}

/** Numbers of nftables are big-endian. */
function pidOf(bytes: Uint8Array | undefined): number {
  if (bytes === undefined || bytes.length < 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}
