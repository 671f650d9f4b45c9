/** Compressed forms that no library at hand can make: .xz with stored chunks only, and one small tar as bzip2. */
import zlib from 'node:zlib';

const le32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const withSum = (bytes: Buffer): Buffer => Buffer.concat([bytes, le32(zlib.crc32(bytes))]);
const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);

function integer(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...integer(Math.floor(value / 0x80))];
}

/** One stream of one block with CRC-32. */
export function storedXz(content: Buffer): Buffer {
  const flags = Buffer.from([0, 1]);
  const header = withSum(Buffer.from([2, 0, 0x21, 1, 0, 0, 0, 0]));
  const chunks: Buffer[] = [];
  for (let at = 0; at < content.length; at += 1 << 16) {
    const piece = content.subarray(at, at + (1 << 16));
    chunks.push(Buffer.from([at === 0 ? 1 : 2, (piece.length - 1) >> 8, (piece.length - 1) & 255]), piece);
  }
  const data = Buffer.concat([...chunks, Buffer.from([0])]);
  const unpadded = header.length + data.length + 4;
  const index = withSum(padded(Buffer.from([0, 1, ...integer(unpadded), ...integer(content.length)])));
  const footer = Buffer.concat([le32(index.length / 4 - 1), flags]);
  return Buffer.concat([
    Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
    withSum(flags),
    header,
    padded(data),
    le32(zlib.crc32(content)),
    index,
    le32(zlib.crc32(footer)),
    footer,
    Buffer.from('YZ'),
  ]);
}

/** A tar of one file `f` with the content `piped`, as bzip2 makes it. */
export const bzip2Tar = Buffer.from(
  'QlpoOTFBWSZTWRqOhSMAAHj7kMmAAEJAAGcAAADnIN4ABAAACCAAVDKTRoNM0jTNGoJJTaIBoZDQWPq5RghBSSQkO+rE7ZxkgQwmCe8EI4dHAvHg' +
    'jCj9jT5aumFCthEaAZpkkD8XckU4UJAajoUj',
  'base64',
);
