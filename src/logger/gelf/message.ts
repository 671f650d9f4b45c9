/**
 * GELF 1.1: one JSON object a line. A datagram is compressed, and cut into at most 128 chunks where it is too long for
 * one; on a stream each message ends with a zero byte.
 */
import { deflateSync, gzipSync } from 'node:zlib';
import type { LineEncoder } from '../line.ts';
import type { Identity } from '../remote-target.ts';
import type { GelfSettings } from './options.ts';

const LEVEL_ERROR = 3;
const LEVEL_INFO = 6;
const NANOSECONDS_PER_MS = 1_000_000n;
const CHUNK_BYTES = 1420;
const CHUNK_HEADER_BYTES = 12;
const CHUNK_DATA_BYTES = CHUNK_BYTES - CHUNK_HEADER_BYTES;
const CHUNKS_MAX = 128;
const END = Uint8Array.of(0);

export function gelfEncoder(settings: GelfSettings, identity: Identity): LineEncoder {
  const extra = {
    _command: identity.command,
    _container_id: identity.containerId,
    _container_name: identity.containerName,
    _created: identity.createdAt,
    _image_id: identity.imageId,
    _image_name: identity.imageName,
    _tag: identity.tag,
    ...Object.fromEntries(
      Object.entries(identity.attributes).map(([name, value]) => [name.startsWith('_') ? name : `_${name}`, value]),
    ),
  };
  return ({ stream, ns, text }) => {
    if (text.length === 0) return undefined;
    const json = Buffer.from(
      JSON.stringify({
        version: '1.1',
        host: identity.hostname,
        short_message: Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8'),
        timestamp: Number(ns / NANOSECONDS_PER_MS) / 1000,
        level: stream === 2 ? LEVEL_ERROR : LEVEL_INFO,
        ...extra,
      }),
    );
    return settings.endpoint.kind === 'udp' ? compressed(json, settings) : Buffer.concat([json, END]);
  };
}

function compressed(json: Uint8Array, { compression, level }: GelfSettings): Uint8Array {
  switch (compression) {
    case 'none':
      return json;
    case 'gzip':
      return gzipSync(json, { level });
    case 'zlib':
      return deflateSync(json, { level });
  }
  return compression satisfies never;
}

/** The datagrams of a message; none when it would need more than 128. */
export function gelfDatagrams(message: Uint8Array): Uint8Array[] {
  if (message.length <= CHUNK_BYTES) return [message];
  const count = Math.ceil(message.length / CHUNK_DATA_BYTES);
  if (count > CHUNKS_MAX) return [];
  const id = crypto.getRandomValues(new Uint8Array(8));
  return Array.from({ length: count }, (_, i) => {
    const data = message.subarray(i * CHUNK_DATA_BYTES, (i + 1) * CHUNK_DATA_BYTES);
    return Buffer.concat([Uint8Array.of(0x1e, 0x0f), id, Uint8Array.of(i, count), data]);
  });
}
