/**
 * What nftables tells of changes by others (`nft flush ruleset`, a reload of firewalld): did they take something of our
 * tables? Pure: a small state machine over decoded messages. Each names the socket of who made the change, which for most
 * programs is their process; whose it is otherwise tells the end of the transaction (NEWGEN), where it is ours: ends of
 * others need not come (monitor-filter.ts), and what has had none for a while is theirs.
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
const ELEMENT_SET = 2;
const DELETE_ELEMENT = 14;
/** Filled and emptied by the DNS server, in another thread; nobody else's deletion opens anything. */
const KNOWN = 'known';
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

const NOTHING: Taken = { damaged: false, moved: false };

const both = (a: Taken, b: Taken | undefined): Taken => ({
  damaged: a.damaged || b?.damaged === true,
  moved: a.moved || b?.moved === true,
});

function isKnown(type: number, attributes: ReadonlyMap<number, Uint8Array>): boolean {
  const set = attributes.get(ELEMENT_SET);
  return type === DELETE_ELEMENT && set !== undefined && textOf(set).startsWith(KNOWN);
}

export class ForeignChanges {
  readonly #table: string;
  readonly #ownPid: number;
  /** Names of chains of others in which we have rules. */
  readonly #places: ReadonlySet<string>;
  /** By the socket that made them: changes whose end has not come yet. */
  readonly #open = new Map<number, Taken>();

  constructor(table: string, ownPid: number, places: Iterable<string> = []) {
    this.#table = table;
    this.#ownPid = ownPid;
    this.#places = new Set(places);
  }

  /** There are changes of which it is not known whose they are. */
  get isUndecided(): boolean {
    return this.#open.size > 0;
  }

  /** No ends have come: they are of others. */
  settle(): Taken {
    const all = [...this.#open.values()];
    this.#open.clear();
    return { damaged: all.some(({ damaged }) => damaged), moved: all.some(({ moved }) => moved) };
  }

  /** What others have done, as far as these messages and those before decide it. */
  take(messages: readonly Message[]): Taken {
    let done = NOTHING;
    for (const message of messages) {
      if (message.kind !== 'data' || message.type >> 8 !== SUBSYSTEM_NFTABLES) continue;
      const { port } = message;
      const type = message.type & 0xff;
      const attributes = decodeAttributes(message.payload.subarray(NFGENMSG_BYTES));
      if (type === NEWGEN) {
        const foreign = pidOf(attributes.get(GEN_PROC_PID)) !== this.#ownPid;
        if (foreign) done = both(done, this.#open.get(port));
        this.#open.delete(port);
        continue;
      }
      const change = this.#changeOf(type, attributes);
      if ((!change.damaged && !change.moved) || port === this.#ownPid) continue;
      // The first socket of a program has the number of its process.
      if (port > 0) done = both(done, change);
      else this.#open.set(port, both(change, this.#open.get(port)));
    }
    return done;
  }

  #changeOf(type: number, attributes: ReadonlyMap<number, Uint8Array>): Taken {
    const table = attributes.get(TABLE);
    const name = table === undefined ? '' : textOf(table);
    const damaged = DELETIONS.has(type) && name === this.#table && !isKnown(type, attributes);
    return { damaged, moved: table !== undefined && !name.startsWith(OWN_PREFIX) && this.#matters(type, attributes) };
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
