/** /etc/ld.so.cache of glibc: soname → paths, in the loader's order of preference. */

const MAGIC = 'glibc-ld.so.cache1.1';
const HEADER_BYTES = 48;
const ENTRY_BYTES = 24;
const ENTRIES_MAX = 1_000_000;

/** An unknown format is an empty cache: the standard folders are searched then. */
export function parseLibraryCache(bytes: Uint8Array): ReadonlyMap<string, readonly string[]> {
  const libraries = new Map<string, string[]>();
  // The old format may come first; offsets count from the new one.
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(MAGIC, 0, 'latin1');
  if (start < 0) return libraries;
  const cache = bytes.subarray(start);
  const view = new DataView(cache.buffer, cache.byteOffset, cache.byteLength);
  const count = Math.min(view.getUint32(20, true), ENTRIES_MAX);
  const text = (at: number) => new TextDecoder().decode(cache.subarray(at, cache.indexOf(0, at)));
  for (let i = 0; i < count; i++) {
    const at = HEADER_BYTES + i * ENTRY_BYTES;
    if (at + ENTRY_BYTES > cache.length) break;
    // Variants for newer processors: the plain one does everywhere.
    if (view.getBigUint64(at + 16, true) !== 0n) continue;
    const name = text(view.getUint32(at + 4, true));
    const paths = libraries.get(name) ?? [];
    paths.push(text(view.getUint32(at + 8, true)));
    libraries.set(name, paths);
  }
  return libraries;
}
