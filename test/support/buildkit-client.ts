/** A client of BuildKit's protocol as small as tests need one: sessions that answer, and calls of the control API. */
import { randomUUID } from 'node:crypto';
import * as net from 'node:net';
import { packetTypes, receiveFiles } from '../../src/builder/buildkit/session-methods.ts';
import { type Handler, serve, streaming } from '../../src/pkg/grpc/server.ts';
import { type ByteStream, Http2Connection } from '../../src/pkg/http2/connection.ts';
import { valuesOf } from '../../src/pkg/http2/stream.ts';

/** An upgraded connection. */
async function upgraded(socketPath: string, target: string, headers: readonly string[]): Promise<ByteStream> {
  const socket = net.connect(socketPath);
  socket.on('error', () => undefined);
  const lines = [`POST ${target} HTTP/1.1`, 'Host: x', 'Connection: Upgrade', 'Upgrade: h2c', ...headers];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  const text = answer.toString('latin1');
  if (!text.startsWith('HTTP/1.1 101 ')) throw new Error(text);
  const rest = answer.subarray(text.indexOf('\r\n\r\n') + 4);
  // Without an encoding a socket gives bytes.
  const bytes: AsyncIterable<Uint8Array> = socket;
  return {
    input: (async function* () {
      if (rest.length > 0) yield rest;
      yield* bytes;
    })(),
    write: (chunk) => new Promise((resolve) => socket.write(chunk, () => resolve())),
    end: () => socket.destroy(),
  };
}

async function running(connection: Http2Connection): Promise<Http2Connection & AsyncDisposable> {
  const ended = connection.run();
  return Object.assign(connection, {
    [Symbol.asyncDispose]: async () => {
      connection.close();
      await ended;
    },
  });
}

export async function openSession(socketPath: string, id: string, handlers: readonly Handler[]) {
  const methods = handlers.map(({ path }) => `X-Docker-Expose-Session-Grpc-Method: ${path}`);
  const bytes = await upgraded(socketPath, '/session', [`X-Docker-Expose-Session-Uuid: ${id}`, ...methods]);
  return running(new Http2Connection(bytes, serve(handlers)));
}

export async function openControl(socketPath: string) {
  return running(new Http2Connection(await upgraded(socketPath, '/grpc', [])));
}

type Files = Readonly<Record<string, string>>;

/** Answers for directories by their names; of patterns it knows whole names only. */
export function directories(shared: Readonly<Record<string, Files>>): Handler {
  return streaming(receiveFiles, async ({ metadata, send, requests }) => {
    const wanted = [...valuesOf(metadata, 'include-patterns'), ...valuesOf(metadata, 'followpaths')];
    const files = Object.entries(shared[metadata.get('dir-name') ?? ''] ?? {}).filter(
      ([name]) => wanted.length === 0 || wanted.includes(name),
    );
    for (const [path, text] of files) {
      const stat = { path, mode: 0o644, uid: 0, gid: 0, size: Buffer.byteLength(text), modTime: 0n };
      const none = { linkname: '', devmajor: 0, devminor: 0, xattrs: new Map() };
      await send({ type: packetTypes.stat, stat: { ...stat, ...none } });
    }
    await send({ type: packetTypes.stat });
    for await (const { type, id } of requests()) {
      if (type === packetTypes.end) return send({ type: packetTypes.end });
      for (const part of [files[id]?.[1] ?? '', '']) {
        await send({ type: packetTypes.data, id, data: Buffer.from(part) });
      }
    }
  });
}

export const newId = () => randomUUID().replaceAll('-', '');
