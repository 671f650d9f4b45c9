/** A DNS server for a machine of a test: answers A questions from a table, everything else with "no such name". */
import { type Inside, scriptInside } from './inside.ts';

/** Prints `asked NAME` for each question. `names`: name → addresses. */
export function nameServer(
  pid: number,
  names: Readonly<Record<string, readonly string[]>>,
  ip: string,
): Promise<Inside> {
  return scriptInside(
    pid,
    `const names = ${JSON.stringify(names)};
     const socket = require('node:dgram').createSocket('udp4');
     socket.on('message', (query, from) => {
       const labels = [];
       let at = 12;
       for (; query[at] !== 0; at += 1 + query[at]) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
       const name = labels.join('.');
       const type = query.readUInt16BE(at + 1);
       console.log('asked ' + name);
       const found = names[name];
       const data = type === 1 ? (found ?? []) : [];
       const header = Buffer.from(query.subarray(0, at + 5));
       header.writeUInt16BE(0x8180 | (found === undefined ? 3 : 0), 2);
       header.writeUInt16BE(data.length, 6);
       header.writeUInt32BE(0, 8);
       const records = data.map((ip) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, ...ip.split('.').map(Number)]));
       socket.send(Buffer.concat([header, ...records]), from.port, from.address);
     });
     socket.bind(53, '${ip}', () => console.log('ready'));`,
  );
}
