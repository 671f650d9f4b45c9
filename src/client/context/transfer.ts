/** A context as a tar archive: `meta.json` and `tls/docker/*.pem`, as docker writes and reads it. */
import { isJson } from '../config-file/config-file.ts';
import { type Context, decodeMeta, encodeMeta, tlsFiles, type TlsFiles } from './store.ts';

const BLOCK = 512;
const BYTES_MAX = 10 << 20;

export function packContext(context: Context, tls: TlsFiles): Uint8Array {
  const parts = [file('meta.json', Buffer.from(JSON.stringify(encodeMeta(context))), 0o644), directory('tls/')];
  const files = tlsFiles(tls);
  if (files.length > 0) parts.push(directory('tls/docker/'));
  for (const [name, bytes] of files) parts.push(file(`tls/docker/${name}`, Buffer.from(bytes), 0o600));
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}

/** @throws for anything but regular files and directories of the names that docker writes */
export function unpackContext(archive: Uint8Array): { readonly context: Context; readonly tls: TlsFiles } {
  if (archive.length > BYTES_MAX) throw new Error(`the archive is larger than ${BYTES_MAX} bytes`);
  const bytes = Buffer.from(archive);
  let context: Context | undefined;
  const tls: { ca?: Uint8Array; cert?: Uint8Array; key?: Uint8Array } = {};
  for (let at = 0; at + BLOCK <= bytes.length && bytes[at] !== 0; ) {
    const name = textAt(bytes, at, 100);
    const size = Number.parseInt(textAt(bytes, at + 124, 12), 8) || 0;
    const type = String.fromCharCode(bytes[at + 156] ?? 0);
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

function textAt(bytes: Buffer, at: number, length: number): string {
  const field = bytes.subarray(at, at + length);
  const end = field.indexOf(0);
  return field
    .subarray(0, end < 0 ? length : end)
    .toString()
    .trim();
}

function file(name: string, content: Buffer, mode: number): Buffer {
  const padding = Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK);
  return Buffer.concat([header(name, content.length, mode, '0'), content, padding]);
}

function directory(name: string): Buffer {
  return header(name, 0, 0o700, '5');
}

/** A ustar header (POSIX.1-1988). */
function header(name: string, size: number, mode: number, type: string): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
  block.write(name, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write('        ', 148);
  block.write(type, 156);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
