/** `system dial-stdio`: the daemon's socket on our stdin and stdout, which is what ssh:// hosts are made of. */
import * as net from 'node:net';
import * as tls from 'node:tls';
import { reachable } from '#api/client/api-client.ts';
import { connectionFailure } from '#api/client/connection-failure.ts';
import type { ReachableAddress } from '#api/client/address.ts';
import { defineCommand } from '../command.ts';

export const dialStdio = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {},
  async run(context) {
    const { address } = context.client();
    const socket = dial(await reachable(address));
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.once('close', () => resolve());
        socket.pipe(process.stdout, { end: false });
        process.stdin.pipe(socket);
      });
    } catch (error) {
      throw connectionFailure(address, error);
    }
  },
});

function dial(address: ReachableAddress): net.Socket {
  if (address.kind === 'unix') return net.connect({ path: address.path, allowHalfOpen: true });
  const { hostname: host, port, tls: material } = address;
  if (material === undefined) return net.connect({ host, port, allowHalfOpen: true });
  const { verify, ...files } = material;
  return tls.connect({ host, port, ...files, rejectUnauthorized: verify });
}
