/**
 * Sockets on which processes wait for others, from /proc: of containers in the host's network, whose ports nobody
 * publishes. proc(5), /proc/PID/net/tcp: one line a socket, addresses as hex words in the machine's order.
 */
import * as fs from 'node:fs';
import { addressText } from '#libcontainer/netlink/ip.ts';

export interface ListeningSocket {
  readonly protocol: 'tcp' | 'udp';
  /** '0.0.0.0' and '::' are all addresses. */
  readonly ip: string;
  readonly port: number;
  readonly inode: string;
}

/** TCP_LISTEN; a UDP socket that waits for anybody is TCP_CLOSE. */
const WAITING = { tcp: '0A', udp: '07' } as const;
const NOBODY = /^0+:0000$/;

/** Pure. What cannot be read is left out. */
export function parseSockets(protocol: 'tcp' | 'udp', table: string): ListeningSocket[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', remote = '', state = '', , , , , , inode = ''] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      if (state !== WAITING[protocol] || !NOBODY.test(remote) || !/^([0-9A-F]{8}){1,4}$/.test(address)) return [];
      const words = address.match(/.{8}/g) ?? [];
      const bytes = words.flatMap((word) => [...Uint8Array.fromHex(word)].reverse());
      return [{ protocol, ip: addressText(Uint8Array.from(bytes)), port: Number.parseInt(port, 16), inode }];
    });
}

/** Each address and port once. */
export function listeningSockets(pids: readonly number[]): ListeningSocket[] {
  const [first] = pids;
  if (first === undefined) return [];
  const own = new Set(pids.flatMap(socketInodes));
  const found = new Map<string, ListeningSocket>();
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const six of ['', '6']) {
      for (const socket of parseSockets(protocol, read(`/proc/${first}/net/${protocol}${six}`))) {
        if (own.has(socket.inode)) found.set(`${protocol} ${socket.ip} ${socket.port}`, socket);
      }
    }
  }
  return [...found.values()];
}

function socketInodes(pid: number): string[] {
  const directory = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = fs.readdirSync(directory);
  } catch {
    return []; // it has ended meanwhile
  }
  return names.flatMap((name) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(`${directory}/${name}`))?.[1] ?? [];
    } catch {
      return [];
    }
  });
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return ''; // a kernel without IPv6
  }
}
