/**
 * Host files as an image archive (docker-archive, one layer) that every engine loads. Deterministic: times are 0, owner
 * is root, entries are sorted, nothing of the machine but the files' bytes goes in; so the same files are the same id.
 */
import { invalidParameter } from '#errdefs/errors.ts';
import { byteString } from '#pkg/archive/entry.ts';
import { endOfArchive, formatEntry, padding, plainEntry } from '#pkg/archive/writer.ts';
import type { HostFiles } from './host-files.ts';

export interface HostImage {
  /** `sha256:…` */
  readonly id: string;
  /** The archive, in pieces. */
  readonly pieces: readonly Uint8Array[];
}

export interface HostImageOptions {
  readonly files: HostFiles;
  readonly reference: string;
  readonly command: readonly string[];
  readonly architecture: string;
  readonly createdBy: string;
}

const ROOT_USER = 'root:x:0:0:root:/root:/bin/sh\n';
const ETC: Readonly<Record<string, string>> = {
  '/etc/group': 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n',
  '/etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  '/etc/passwd': `${ROOT_USER}nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n`,
};
const FOLDERS: Readonly<Record<string, number>> = {
  '/dev': 0o755,
  '/etc': 0o755,
  '/home': 0o755,
  '/proc': 0o555,
  '/root': 0o700,
  '/run': 0o755,
  '/sys': 0o555,
  '/tmp': 0o1777,
  '/usr': 0o755,
  '/var': 0o755,
  '/var/tmp': 0o1777,
};
const EPOCH = '1970-01-01T00:00:00Z';
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export function hostImage(options: HostImageOptions): HostImage {
  const layer = layerPieces(options.files);
  const diffId = sha256(layer);
  const config = JSON.stringify({
    architecture: options.architecture,
    config: { Env: [PATH], Cmd: options.command, WorkingDir: '/' },
    created: EPOCH,
    history: [{ created: EPOCH, created_by: options.createdBy }],
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [`sha256:${diffId}`] },
  });
  const configBytes = new TextEncoder().encode(config);
  const id = sha256([configBytes]);
  const layerName = `${diffId}/layer.tar`;
  const manifest = JSON.stringify([{ Config: `${id}.json`, RepoTags: [options.reference], Layers: [layerName] }]);
  const pieces = [
    formatEntry(plainEntry(`${diffId}/`, { type: 'directory' })),
    ...member(layerName, layer),
    ...member(`${id}.json`, [configBytes]),
    ...member('manifest.json', [new TextEncoder().encode(manifest)]),
    endOfArchive,
  ];
  return { id: `sha256:${id}`, pieces };
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function member(path: string, pieces: readonly Uint8Array[]): Uint8Array[] {
  const size = sizeOf(pieces);
  return [formatEntry(plainEntry(path, { type: 'file', size })), ...pieces, new Uint8Array(padding(size))];
}

function sha256(pieces: readonly Uint8Array[]): string {
  const hash = new Bun.CryptoHasher('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

/** The one layer: folders before what is in them, by name. */
function layerPieces(files: HostFiles): Uint8Array[] {
  const members = new Map<string, Uint8Array[]>();
  const folder = (path: string, mode = 0o755) => {
    if (!members.has(path)) {
      members.set(path, [formatEntry(plainEntry(path.slice(1), { type: 'directory', mode }))]);
    }
  };
  for (const [path, mode] of Object.entries(FOLDERS)) if (files.get(path)?.kind !== 'link') folder(path, mode);
  const parents = (path: string) => {
    for (let slash = path.indexOf('/', 1); slash > 0; slash = path.indexOf('/', slash + 1)) {
      const parent = path.slice(0, slash);
      if (files.has(parent)) throw invalidParameter(`Cannot put "${path}" into the image: "${parent}" is no folder`);
      folder(parent);
    }
  };
  for (const [path, text] of Object.entries(ETC)) {
    if (!files.has(path)) members.set(path, member(path.slice(1), [new TextEncoder().encode(text)]));
  }
  for (const [path, file] of files) {
    parents(path);
    if (file.kind === 'link') {
      const linkPath = byteString(file.target);
      members.set(path, [formatEntry(plainEntry(path.slice(1), { type: 'symlink', mode: 0o777, linkPath }))]);
    } else {
      const entry = plainEntry(path.slice(1), { type: 'file', mode: file.mode, size: file.bytes.length });
      members.set(path, [formatEntry(entry), file.bytes, new Uint8Array(padding(file.bytes.length))]);
    }
  }
  const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
  return [...sorted.flatMap(([, pieces]) => pieces), endOfArchive];
}
