/** Packages of rpm by its database in SQLite: a row is a package's header, numbered fields in one piece. Pure. */
import { dataLoss } from '#errdefs/errors.ts';
import type { FoundPackage } from './packages.ts';
import { sqliteRows } from './sqlite-rows.ts';

const TAG = {
  name: 1000,
  version: 1001,
  release: 1002,
  epoch: 1003,
  vendor: 1011,
  license: 1014,
  arch: 1022,
  source: 1044,
};
const INT32 = 4;
const STRING = 6;
const INTERNATIONAL = 9;
const ENTRY_BYTES = 16;
const FIELD_MAX = 4096;

/** Errors: data-loss. */
export function rpmPackages(database: Buffer, path: string): FoundPackage[] {
  return sqliteRows(database, 'Packages').flatMap((row): FoundPackage[] => {
    const header = row[1];
    return Buffer.isBuffer(header) ? packageOf(fieldsOf(header), path) : [];
  });
}

/** Texts and the first of numbers. */
function fieldsOf(header: Buffer): Map<number, string> {
  if (header.length < 8) throw dataLoss('a header of rpm is cut off');
  const count = header.readUInt32BE(0);
  const store = 8 + count * ENTRY_BYTES;
  if (store > header.length) throw dataLoss('a header of rpm is cut off');
  const fields = new Map<number, string>();
  for (let at = 8; at < store; at += ENTRY_BYTES) {
    const [tag, type, offset] = [0, 4, 8].map((field) => header.readUInt32BE(at + field));
    const start = store + (offset ?? 0);
    if (tag === undefined || start >= header.length) continue;
    if (type === INT32 && start + 4 <= header.length) fields.set(tag, String(header.readUInt32BE(start)));
    if (type !== STRING && type !== INTERNATIONAL) continue;
    const end = header.indexOf(0, start);
    fields.set(tag, header.toString('utf8', start, Math.min(end < 0 ? header.length : end, start + FIELD_MAX)));
  }
  return fields;
}

function packageOf(fields: ReadonlyMap<number, string>, path: string): FoundPackage[] {
  const name = fields.get(TAG.name);
  const version = fields.get(TAG.version);
  // Keys of signatures are packages without an architecture.
  if (name === undefined || version === undefined || name === 'gpg-pubkey') return [];
  const release = fields.get(TAG.release);
  return [
    {
      kind: 'rpm',
      name,
      version: release === undefined ? version : `${version}-${release}`,
      epoch: fields.get(TAG.epoch),
      architecture: fields.get(TAG.arch),
      license: fields.get(TAG.license),
      supplier: fields.get(TAG.vendor),
      source: fields.get(TAG.source),
      path,
    },
  ];
}
