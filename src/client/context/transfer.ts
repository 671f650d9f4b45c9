/** A context as a tar archive: `meta.json` and `tls/docker/*.pem`, as docker writes and reads it. */
import { BLOCK, parseHeader } from '#pkg/archive/header.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import { isJson } from '../config-file/config-file.ts';
import { type Context, decodeMeta, encodeMeta, tlsFiles, type TlsFiles } from './store.ts';

const BYTES_MAX = 10 << 20;

export function packContext(context: Context, tls: TlsFiles): Uint8Array {
  const parts = [file('meta.json', Buffer.from(JSON.stringify(encodeMeta(context))), 0o644), directory('tls/')];
  const files = tlsFiles(tls);
  if (files.length > 0) parts.push(directory('tls/docker/'));
  for (const [name, bytes] of files) parts.push(file(`tls/docker/${name}`, Buffer.from(bytes), 0o600));
  return Buffer.concat([...parts, endOfArchive]);
}

/** @throws for anything but regular files and directories of the names that docker writes */
export function unpackContext(archive: Uint8Array): { readonly context: Context; readonly tls: TlsFiles } {
  if (archive.length > BYTES_MAX) throw new Error(`the archive is larger than ${BYTES_MAX} bytes`);
  const bytes = Buffer.from(archive);
  let context: Context | undefined;
  const tls: { ca?: Uint8Array; cert?: Uint8Array; key?: Uint8Array } = {};
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0; ) {
    const { name, size, flag } = parseHeader(bytes, at);
    const type = String.fromCharCode(flag);
    const content = bytes.subarray(at + BLOCK, at + BLOCK + size);
    if (content.length !== size) throw new Error('the archive is cut short');
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (type === '5' || name.endsWith('/')) continue;
    if (type !== '0' && type !== '\0') throw new Error(`"${name}" in the archive is not a regular file`);
    const pem = /^tls\/docker\/(ca|cert|key)\.pem$/.exec(name)?.[1];
    if (name === 'meta.json') {
      const meta: unknown = JSON.parse(content.toString());
      context = isJson(meta) ? decodeMeta(meta) : undefined;
    } else if (pem === 'ca' || pem === 'cert' || pem === 'key') tls[pem] = Uint8Array.from(content);
    else throw new Error(`unexpected context file "${name}"`);
  }
  if (context === undefined) throw new Error('invalid context: no metadata found');
  return { context, tls };
}

function file(name: string, content: Buffer, mode: number): Buffer {
  const entry = plainEntry(name, { type: 'file', size: content.length, mode });
  return Buffer.concat([formatEntry(entry), content, Buffer.alloc(padding(content.length))]);
}

function directory(name: string): Buffer {
  return formatEntry(plainEntry(name, { type: 'directory', mode: 0o700 }));
}
