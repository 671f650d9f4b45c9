import { expect, test } from 'bun:test';
import * as net from 'node:net';
import { listeningSockets, parseSockets } from './listening.ts';

const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

test('lines of the kernel: what waits for anybody', () => {
  const tcp = `${head}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F90 0200000A:C001 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
   2: nonsense\n`;
  expect(parseSockets('tcp', tcp)).toEqual([{ protocol: 'tcp', ip: '127.0.0.1', port: 8080, inode: '4711' }]);
  const udp6 = `${head}  9: 000080FE00000000FF005450B6FD01FE:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 99 2 0 0\n`;
  expect(parseSockets('udp', udp6)).toEqual([
    { protocol: 'udp', ip: 'fe80::5054:ff:fe01:fdb6', port: 53, inode: '99' },
  ]);
  expect(parseSockets('udp', '')).toEqual([]);
});

test('of a process', async () => {
  const server = net.createServer();
  const { promise, resolve } = Promise.withResolvers<undefined>();
  server.listen(0, '127.0.0.1', () => resolve(undefined));
  await promise;
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const found = listeningSockets([process.pid]).filter((socket) => socket.port === port);
  expect(found.map(({ protocol, ip }) => `${protocol} ${ip}`)).toEqual(['tcp 127.0.0.1']);
  server.close();
  expect(listeningSockets([])).toEqual([]);
  expect(listeningSockets([2 ** 22 + 1])).toEqual([]);
});
