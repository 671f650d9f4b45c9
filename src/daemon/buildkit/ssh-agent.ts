/** The client's ssh agent as a socket for one step: each connection to it is a call to the client. */
import * as net from 'node:net';
import * as path from 'node:path';
import type { Session } from '#builder/buildkit/session.ts';
import { checkAgent, forwardAgent } from '#builder/buildkit/session-methods.ts';
import type { SshSource } from '#builder/request.ts';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

const CONNECTIONS_MAX = 100;

/** `directory` makes a directory that goes with the build. */
export function sessionAgent(session: Session, directory: () => string): SshSource {
  return {
    socket: async (id, signal) => {
      if (!session.supports(forwardAgent)) return undefined;
      try {
        await session.ask(checkAgent, { id }, signal);
      } catch (error) {
        if (kindOf(error) === 'cancelled' || kindOf(error) === 'unavailable') throw error;
        // The client says that it forwards no agent of that name.
        return undefined;
      }
      const file = path.join(directory(), 'agent');
      const done = new AbortController();
      const ended = AbortSignal.any([signal, done.signal]);
      const server = net.createServer((socket) => void forward(session, id, socket, ended));
      server.maxConnections = CONNECTIONS_MAX;
      await new Promise<void>((resolve, reject) => server.once('error', reject).listen(file, resolve));
      return {
        path: file,
        [Symbol.asyncDispose]: async () => {
          done.abort();
          await new Promise<void>((resolve) => server.close(() => resolve()));
        },
      };
    },
  };
}

/** Never throws: a connection that breaks is the step's to notice. */
async function forward(session: Session, id: string, socket: net.Socket, signal: AbortSignal): Promise<void> {
  const gone = new AbortController();
  socket.on('error', () => gone.abort()).on('close', () => gone.abort());
  try {
    const both = AbortSignal.any([signal, gone.signal]);
    using call = await session.call(forwardAgent, { metadata: [['buildkit.ssh.id', id]], signal: both });
    const there = (async () => {
      // Without an encoding a socket gives bytes.
      const bytes: AsyncIterable<Uint8Array> = socket;
      for await (const data of bytes) await call.send({ data });
      await call.end();
    })();
    there.catch(() => gone.abort());
    for await (const { data } of call.answers()) {
      if (!socket.write(data))
        await new Promise<void>((resolve) => socket.once('drain', resolve).once('close', resolve));
    }
  } catch (error) {
    log.debug('a connection to the ssh agent broke off', { err: messageOf(error) });
  }
  socket.destroy();
}
