/**
 * Packets that egress policies refuse, as the kernel tells them (nfnetlink_log): who, where to, on which port. It tells at
 * most some a second, and nothing where another program has taken the group. linux/netfilter/nfnetlink_log.h.
 */
import {
  attribute,
  decodeAttributes,
  decodeMessages,
  encodeRequest,
  type Message,
} from '#libcontainer/netlink/codec.ts';
import { addressText } from '#libcontainer/netlink/ip.ts';
import { NETLINK_NETFILTER } from '#libcontainer/netlink/socket.ts';
import { log } from '#pkg/log/log.ts';
import { close } from '#sys/files.ts';
import { netlinkSocket, send } from '#sys/sockets.ts';

export interface Denial {
  readonly from: string;
  readonly to: string;
  /** 'tcp', 'udp', or the number. */
  readonly protocol: string;
  /** 0 where there is none. */
  readonly port: number;
}

const SUBSYSTEM = 4;
const MESSAGE = { packet: 0, config: 1 } as const;
const CONFIG = { command: 1, mode: 2 } as const;
const COMMAND_BIND = 1;
const COPY_PACKET = 2;
/** Both addresses and the ports of an IPv6 packet without extensions. */
const COPY_BYTES = 64;
const PAYLOAD = 9;
const NFGENMSG_BYTES = 4;
const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'ipv6-icmp', 132: 'sctp' };
const WITH_PORTS: readonly string[] = ['tcp', 'udp', 'sctp'];

export class DenialListener implements Disposable {
  readonly #group: number;
  readonly #tell: (denial: Denial) => void;
  #reader: { cancel(): Promise<void> } | undefined;
  #stopped = false;

  constructor(group: number, tell: (denial: Denial) => void) {
    this.#group = group;
    this.#tell = tell;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const fd = netlinkSocket(NETLINK_NETFILTER);
      try {
        send(fd, configRequest(this.#group));
        const reader = Bun.file(fd).stream().getReader();
        this.#reader = reader;
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          if (this.#stopped) return;
          for (const message of decodeMessages(part.value)) this.#take(message);
        }
        return;
      } catch (err) {
        // ENOBUFS: some were lost, the next ones come.
        log.debug('notifications of refused packets were lost', { err });
      } finally {
        close(fd);
      }
    }
  }

  #take(message: Message): void {
    if (message.kind !== 'data' || message.type !== ((SUBSYSTEM << 8) | MESSAGE.packet)) return;
    const payload = decodeAttributes(message.payload.subarray(NFGENMSG_BYTES)).get(PAYLOAD);
    const denial = payload === undefined ? undefined : readPacket(payload);
    if (denial !== undefined) this.#tell(denial);
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    void this.#reader?.cancel();
  }
}

function configRequest(group: number): Uint8Array {
  const mode = Uint8Array.of(0, 0, 0, COPY_BYTES, COPY_PACKET, 0);
  return encodeRequest(
    {
      name: 'listen to refused packets',
      type: (SUBSYSTEM << 8) | MESSAGE.config,
      flags: 0,
      // struct nfgenmsg with the group, which is big-endian.
      header: Uint8Array.of(0, 0, group >> 8, group & 255),
      attributes: [attribute(CONFIG.command, Uint8Array.of(COMMAND_BIND)), attribute(CONFIG.mode, mode)],
    },
    1,
  );
}

/** Undefined for what is no whole header. Pure. */
export function readPacket(bytes: Uint8Array): Denial | undefined {
  const version = (bytes[0] ?? 0) >> 4;
  const six = version === 6;
  const headerBytes = six ? 40 : ((bytes[0] ?? 0) & 15) * 4;
  if ((version !== 4 && !six) || bytes.length < Math.max(20, headerBytes)) return undefined;
  const [from, to] = six ? [bytes.slice(8, 24), bytes.slice(24, 40)] : [bytes.slice(12, 16), bytes.slice(16, 20)];
  const number = bytes[six ? 6 : 9] ?? 0;
  const protocol = PROTOCOLS[number] ?? String(number);
  const hasPort = WITH_PORTS.includes(protocol) && bytes.length >= headerBytes + 4;
  const port = hasPort ? ((bytes[headerBytes + 2] ?? 0) << 8) | (bytes[headerBytes + 3] ?? 0) : 0;
  return { from: addressText(from), to: addressText(to), protocol, port };
}
