/**
 * Which notifications of nftables wake the daemon: a classic BPF program for its monitor socket, run by the kernel for each
 * datagram. A host may change its rules all day long; let through is only what `ForeignChanges` looks at: deletions in our
 * tables, chains of hooks and rules in places of others, and ends of our own transactions. Pure.
 *
 * A datagram holds some messages, and such a program has no loops: it looks at the first ones, and lets through what has
 * more. linux/filter.h, linux/netfilter/nf_tables.h.
 */

const OP = {
  loadByte: 0x50, // A = byte at X + k
  loadWord: 0x40, // A = big-endian word at X + k
  loadLength: 0x80, // A = length of the datagram
  loadMemory: 0x60, // A = M[k]
  loadIndex: 0x61, // X = M[k]
  store: 0x02, // M[k] = A
  add: 0x04,
  addIndex: 0x0c,
  subtractIndex: 0x1c,
  shiftLeft: 0x64,
  and: 0x54,
  toIndex: 0x07, // X = A
  equal: 0x15,
  atLeast: 0x35,
  jump: 0x05,
  return: 0x06,
} as const;

const PASS = 0xffff_ffff;
/** How many messages are looked at; a kernel before 6.8 takes programs of up to 20 KB. */
const WHOLE_MAX = 14;
/** Behind them only additions are known to be nothing. */
const ADDITIONS_MAX = 20;
const SUBSYSTEM_NFTABLES = 10;
const TYPE = { newChain: 3, deleteChain: 5, deleteRule: 8, deleteElement: 14, generation: 15 } as const;
const DELETIONS: readonly number[] = [2, 5, 8, 11, 14];
/** Tables, rules, sets, elements. */
const ADDITIONS: readonly number[] = [0, 6, 9, 12];
/** Offsets in a message: its length, its type, the first attribute's head and value. */
const AT = { length: 0, type: 4, subsystem: 5, attribute: 20, value: 24, generationPid: 32 } as const;
const HANDLE_BYTES = 12;
const CHAIN_HOOK = 4;
/** Of the places of others (foreign.ts), the first eight bytes. */
const PLACES: readonly string[] = ['DOCKER-U', 'ufw-user', 'ufw6-use'];
/** Filled and expired all the time, by the DNS server in another thread. */
const KNOWN = 'know';

/** Numbers of the program's memory. */
const MESSAGE = 0;
const BASE = 1;
const LOW = 2;
const HIGH = 3;

interface Instruction {
  readonly code: number;
  readonly k: number;
  /** Labels; undefined: the next instruction. */
  readonly yes?: string | undefined;
  readonly no?: string | undefined;
}

class Assembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  do(code: number, k = 0): this {
    this.#instructions.push({ code, k });
    return this;
  }

  label(name: string): this {
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  jump(to: string): this {
    this.#instructions.push({ code: OP.jump, k: 0, yes: to });
    return this;
  }

  /** A == k. */
  equal(k: number, yes: string | undefined, no?: string): this {
    this.#instructions.push({ code: OP.equal, k, yes, no });
    return this;
  }

  atLeast(k: number, yes: string | undefined, no?: string): this {
    this.#instructions.push({ code: OP.atLeast, k, yes, no });
    return this;
  }

  /** A = little-endian number of 16 bits at X + k; X is M[BASE] before and after. */
  number16(k: number): this {
    this.do(OP.loadByte, k + 1)
      .do(OP.shiftLeft, 8)
      .do(OP.store, HIGH);
    this.do(OP.loadByte, k).do(OP.store, LOW);
    return this.do(OP.loadIndex, LOW).do(OP.loadMemory, HIGH).do(OP.addIndex).do(OP.loadIndex, BASE);
  }

  /** X = M[BASE] = X + A, where A is a length that is rounded up to four. */
  moveBy(): this {
    return this.do(OP.add, 3).do(OP.and, 0xffff_fffc).do(OP.addIndex).do(OP.store, BASE).do(OP.toIndex);
  }

  /** struct sock_filter for each. */
  bytes(): Uint8Array {
    const bytes = new Uint8Array(8 * this.#instructions.length);
    const view = new DataView(bytes.buffer);
    for (const [at, { code, k, yes, no }] of this.#instructions.entries()) {
      const distance = (label: string | undefined): number =>
        label === undefined ? 0 : (this.#labels.get(label) ?? Number.NaN) - at - 1;
      const [forward, otherwise] = [distance(yes), distance(no)];
      const isJump = code === OP.jump;
      const most = isJump ? PASS : 255;
      if (!(forward >= 0 && forward <= most && otherwise >= 0 && otherwise <= 255)) {
        throw new RangeError(`jump from ${at} to ${yes ?? no}`);
      }
      view.setUint16(8 * at, code, true);
      view.setUint8(8 * at + 2, isJump ? 0 : forward);
      view.setUint8(8 * at + 3, otherwise);
      view.setUint32(8 * at + 4, isJump ? forward : k >>> 0, true);
    }
    return bytes;
  }
}

/** Big-endian words of a text with its NUL, as attributes are padded; `whole` false: of its full words alone. */
function wordsOf(text: string, whole = true): number[] {
  const bytes = Buffer.from(whole ? `${text}\0`.padEnd((text.length + 4) & ~3, '\0') : text, 'latin1');
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readUInt32BE(4 * i));
}

/** `pid`: whose ends of transactions are let through. */
export function monitorFilter(table: string, pid: number): Uint8Array {
  const program = new Assembler();
  program.do(OP.loadLength).do(OP.and, 0).do(OP.store, MESSAGE);
  for (let i = 0; i < WHOLE_MAX + ADDITIONS_MAX; i++) {
    const at = (name: string): string => `${name} ${i}`;
    program.do(OP.loadIndex, MESSAGE).do(OP.loadMemory, MESSAGE).do(OP.store, BASE);
    program.do(OP.loadLength).do(OP.subtractIndex).atLeast(AT.value, undefined, at('drop'));
    program.do(OP.loadByte, AT.subsystem).equal(SUBSYSTEM_NFTABLES, undefined, at('pass'));
    program.do(OP.loadByte, AT.type);
    if (i < WHOLE_MAX) judge(program, { table, pid, at });
    else {
      for (const type of ADDITIONS) program.equal(type, at('next'));
      program.jump(at('pass'));
    }
    program.label(at('next')).do(OP.loadIndex, MESSAGE).do(OP.loadMemory, MESSAGE).do(OP.store, BASE);
    program.number16(AT.length).atLeast(AT.attribute, undefined, at('pass')).moveBy();
    program.do(OP.store, MESSAGE).jump(at('end'));
    program.label(at('drop')).do(OP.return, 0);
    program.label(at('pass')).do(OP.return, PASS);
    program.label(at('end'));
  }
  return program.do(OP.return, PASS).bytes();
}

interface Judging {
  readonly table: string;
  readonly pid: number;
  /** Labels of this message. */
  readonly at: (name: string) => string;
}

/** A is the message's type, X and M[BASE] its start. Goes to `pass`, `drop` or `next`. */
function judge(program: Assembler, { table, pid, at }: Judging): void {
  program.equal(TYPE.generation, at('generation')).equal(TYPE.newChain, at('name'));
  for (const type of DELETIONS) program.equal(type, at('deletion'));
  program.jump(at('next'));

  program.label(at('generation')).do(OP.loadWord, AT.generationPid).equal(pid, at('pass'), at('drop'));

  program.label(at('deletion'));
  for (const [n, word] of wordsOf(table).entries()) {
    program.do(OP.loadWord, AT.value + 4 * n).equal(word, undefined, at('foreign'));
  }
  program.do(OP.loadByte, AT.type).equal(TYPE.deleteElement, undefined, at('pass'));
  const set = AT.attribute + 4 + ((table.length + 4) & ~3) + 4;
  program.do(OP.loadWord, set).equal(wordsOf(KNOWN, false)[0] ?? 0, at('next'), at('pass'));

  program.label(at('foreign')).do(OP.loadByte, AT.type);
  program.equal(TYPE.deleteChain, at('name')).equal(TYPE.deleteRule, undefined, at('next'));
  // The second attribute is the chain's name; behind it and the handle a chain of a hook says so.
  program.label(at('name')).number16(AT.attribute).moveBy();
  for (const [n, place] of PLACES.entries()) {
    const [start = 0, end = 0] = wordsOf(place, false);
    program.do(OP.loadWord, AT.value).equal(start, undefined, at(`place ${n}`));
    program.do(OP.loadWord, AT.value + 4).equal(end, at('pass'));
    program.label(at(`place ${n}`));
  }
  program.number16(AT.attribute).moveBy();
  program.do(OP.loadIndex, MESSAGE).do(OP.loadByte, AT.type).equal(TYPE.newChain, undefined, at('next'));
  program
    .do(OP.loadIndex, BASE)
    .do(OP.loadByte, AT.attribute + HANDLE_BYTES + 2)
    .equal(CHAIN_HOOK, at('pass'));
}
