/** The journal's native protocol: one datagram a line, of `NAME=value` lines; a value with a newline is sent with its length. */
import type { LineEncoder } from '../line.ts';
import type { Identity } from '../remote-target.ts';

const PRIORITY_ERROR = '3';
const PRIORITY_INFO = '6';
const NEWLINE = 10;

export function journaldEncoder(identity: Identity): LineEncoder {
  const fixed = Buffer.concat(
    Object.entries({
      CONTAINER_ID: identity.containerId.slice(0, 12),
      CONTAINER_ID_FULL: identity.containerId,
      CONTAINER_NAME: identity.containerName,
      CONTAINER_TAG: identity.tag,
      IMAGE_NAME: identity.imageName,
      SYSLOG_IDENTIFIER: identity.tag,
      ...Object.fromEntries(Object.entries(identity.attributes).map(([name, value]) => [fieldName(name), value])),
    })
      .filter(([name]) => name !== '')
      .map(([name, value]) => field(name, Buffer.from(value))),
  );
  return ({ stream, text, piece }) => {
    const own = [
      field('MESSAGE', text),
      field('PRIORITY', Buffer.from(stream === 2 ? PRIORITY_ERROR : PRIORITY_INFO)),
      fixed,
    ];
    if (piece !== undefined) {
      if (!piece.last) own.push(field('CONTAINER_PARTIAL_MESSAGE', Buffer.from('true')));
      own.push(
        field('CONTAINER_PARTIAL_ID', Buffer.from(piece.id)),
        field('CONTAINER_PARTIAL_ORDINAL', Buffer.from(String(piece.ordinal))),
        field('CONTAINER_PARTIAL_LAST', Buffer.from(String(piece.last))),
      );
    }
    return Buffer.concat(own);
  };
}

/** Upper case, no leading underscore, and underscores for what a field's name may not have. */
export function fieldName(name: string): string {
  return name
    .toUpperCase()
    .replaceAll(/[^A-Z0-9_]/g, '_')
    .replace(/^_+/, '');
}

function field(name: string, value: Uint8Array): Uint8Array {
  if (!value.includes(NEWLINE)) return Buffer.concat([Buffer.from(`${name}=`), value, Uint8Array.of(NEWLINE)]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Uint8Array.of(NEWLINE)]);
}
