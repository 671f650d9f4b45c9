/**
 * Programs of other architectures that the kernel runs by an interpreter (binfmt_misc): an entry counts by what it
 * matches, whatever it is called.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';

const DIRECTORY = '/proc/sys/fs/binfmt_misc';
const HEADER_BYTES = 20;

/** ELF: class (1: 32 bits), byte order (1: little), e_machine. */
const machines: Readonly<Record<string, readonly [elfClass: 1 | 2, order: 1 | 2, machine: number]>> = {
  '386': [1, 1, 3],
  amd64: [2, 1, 62],
  arm: [1, 1, 40],
  arm64: [2, 1, 183],
  loong64: [2, 1, 258],
  mips64le: [2, 1, 8],
  ppc64le: [2, 1, 21],
  riscv64: [2, 1, 243],
  s390x: [2, 2, 22],
};

/** The beginning of a program of the architecture; undefined when it is not known. */
function headerOf(architecture: string): Buffer | undefined {
  const known = machines[architecture];
  if (known === undefined) return undefined;
  const [elfClass, order, machine] = known;
  const header = Buffer.alloc(HEADER_BYTES);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, elfClass, order, 1]).copy(header);
  const write = order === 1 ? header.writeUInt16LE.bind(header) : header.writeUInt16BE.bind(header);
  // An executable, of the machine.
  write(2, 16);
  write(machine, 18);
  return header;
}

/** Whether an entry of the kernel's, as it is read, matches programs of the architecture. */
export function entryMatches(entry: string, architecture: string): boolean {
  const header = headerOf(architecture);
  if (header === undefined || !entry.startsWith('enabled')) return false;
  const field = (name: string): string | undefined => new RegExp(`^${name} ([0-9a-f]+)$`, 'm').exec(entry)?.[1];
  const magic = field('magic');
  if (magic === undefined) return false;
  const offset = Number(field('offset') ?? '0');
  const bytes = Buffer.from(magic, 'hex');
  const mask = Buffer.from(field('mask') ?? 'ff'.repeat(bytes.length), 'hex');
  if (bytes.length === 0 || offset + bytes.length > header.length) return false;
  return bytes.every((byte, i) => (((header[offset + i] ?? 0) ^ byte) & (mask[i] ?? 0xff)) === 0);
}

export function isInterpreted(architecture: string, directory = DIRECTORY): boolean {
  try {
    return fs
      .readdirSync(directory)
      .some(
        (name) =>
          name !== 'register' &&
          name !== 'status' &&
          entryMatches(fs.readFileSync(path.join(directory, name), 'utf8'), architecture),
      );
  } catch (error) {
    // Not mounted: nothing is registered.
    log.debug('binfmt_misc could not be read', { err: messageOf(error) });
    return false;
  }
}
