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
/** Attribute 1 of each of these is the name of the table. */
const TABLE = 1;
const GEN_PROC_PID = 2;

export class ForeignChanges {
  readonly #table: string;
  readonly #ownPid: number;
  #touched = false;

  constructor(table: string, ownPid: number) {
    this.#table = table;
    this.#ownPid = ownPid;
  }

  /** True when a transaction of somebody else has ended that took something out of our tables. */
  take(messages: readonly Message[]): boolean {
    let damaged = false;
    for (const message of messages) {
      if (message.kind !== 'data' || message.type >> 8 !== SUBSYSTEM_NFTABLES) continue;
      const type = message.type & 0xff;
      const attributes = decodeAttributes(message.payload.subarray(NFGENMSG_BYTES));
      if (DELETIONS.has(type)) {
        const table = attributes.get(TABLE);
        this.#touched ||= table !== undefined && textOf(table) === this.#table;
      } else if (type === NEWGEN) {
        damaged ||= this.#touched && pidOf(attributes.get(GEN_PROC_PID)) !== this.#ownPid;
        this.#touched = false;
      }
    }
    return damaged;
  }
}

/** Numbers of nftables are big-endian. */
function pidOf(bytes: Uint8Array | undefined): number {
  if (bytes === undefined || bytes.length < 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}
