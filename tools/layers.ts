/**
 * Who may import whom. A folder imports itself, `errdefs`, `pkg` (where its row does not say otherwise) and what its row
 * lists; everything listed lies on a strictly lower level. Type-only imports count. Change a row together with the
 * reason in ARCHITECTURE.md.
 */
export interface Layer {
  /** Folder below src; the longest matching row decides. */
  readonly folder: string;
  readonly level: number;
  /** Folders (or sub-folders) it may import; '*' is everything below its level. */
  readonly mayImport: readonly string[];
}

export const layers: readonly Layer[] = [
  { folder: 'errdefs', level: 0, mayImport: [] },
  { folder: 'pkg', level: 1, mayImport: [] },
  // Packs and unpacks by directory descriptors (openat2, xattrs, mknod), which only sys has.
  { folder: 'pkg/archive', level: 3, mayImport: ['sys'] },
  { folder: 'api/types', level: 1, mayImport: [] },
  { folder: 'sys', level: 2, mayImport: [] },
  { folder: 'engine', level: 2, mayImport: [] },
  { folder: 'reference', level: 2, mayImport: [] },
  { folder: 'api/jobs', level: 3, mayImport: ['api/types', 'engine'] },
  { folder: 'graphdb', level: 3, mayImport: [] },
  { folder: 'libcontainer', level: 3, mayImport: ['sys'] },
  { folder: 'config', level: 3, mayImport: ['api/types'] },
  { folder: 'registry', level: 3, mayImport: ['reference'] },
  { folder: 'content', level: 3, mayImport: ['sys'] },
  { folder: 'events', level: 4, mayImport: ['api/types', 'graphdb'] },
  { folder: 'graphdriver', level: 4, mayImport: ['sys', 'libcontainer/mounts'] },
  {
    folder: 'networkdriver',
    level: 4,
    mayImport: [
      'sys',
      'graphdb',
      'api/types',
      'libcontainer/netlink',
      'libcontainer/firewall',
      'libcontainer/namespaces',
      'plugins',
    ],
  },
  { folder: 'execdriver', level: 4, mayImport: ['sys', 'libcontainer'] },
  { folder: 'execdriver/native/monitor', level: 4, mayImport: ['sys'] },
  { folder: 'logger', level: 4, mayImport: ['sys', 'api/types'] },
  { folder: 'plugins', level: 3, mayImport: [] },
  { folder: 'volume', level: 4, mayImport: ['sys', 'graphdb', 'api/types', 'plugins'] },
  { folder: 'secret', level: 4, mayImport: ['graphdb'] },
  { folder: 'container', level: 4, mayImport: ['api/types', 'graphdb', 'libcontainer'] },
  { folder: 'stdio', level: 5, mayImport: ['sys', 'logger', 'execdriver', 'api/jobs', 'api/types', 'engine'] },
  { folder: 'layer', level: 5, mayImport: ['graphdriver', 'graphdb', 'sys'] },
  {
    folder: 'image',
    level: 6,
    mayImport: ['content', 'layer', 'reference', 'graphdb', 'api/types', 'builder/dockerfile'],
  },
  // Reads Dockerfiles and .dockerignore files, and does nothing else: the client reads them too, to send what is used only.
  // Sessions and messages of BuildKit's protocol: what a client offers, and how progress is told to it.
  { folder: 'builder/buildkit', level: 8, mayImport: ['builder/dockerfile'] },
  { folder: 'builder/dockerfile', level: 3, mayImport: ['reference'] },
  { folder: 'artifact', level: 6, mayImport: ['content', 'reference', 'graphdb'] },
  { folder: 'graph', level: 7, mayImport: ['image', 'layer', 'reference', 'graphdb'] },
  { folder: 'registryserver', level: 8, mayImport: ['content', 'reference', 'graphdb', 'registry'] },
  // Places and hashes files by descriptors, as content and layer do: hence sys.
  {
    folder: 'builder',
    level: 8,
    mayImport: ['sys', 'reference', 'image', 'layer', 'graphdb', 'content', 'api/types', 'builder/dockerfile'],
  },
  {
    folder: 'distribution',
    level: 8,
    // sys: its Workers write by descriptors; graphdb: where blobs have been seen.
    mayImport: ['registry', 'content', 'image', 'layer', 'graph', 'graphdb', 'reference', 'sys', 'api/types'],
  },
  { folder: 'daemon', level: 9, mayImport: ['*'] },
  { folder: 'api/server', level: 10, mayImport: ['api/types', 'api/jobs', 'engine'] },
  { folder: 'api/client', level: 10, mayImport: ['api/types'] },
  {
    folder: 'client',
    level: 12,
    mayImport: ['api/client', 'api/types', 'reference', 'registry', 'builder/dockerfile'],
  },
  { folder: 'cmd', level: 13, mayImport: ['*'] },
];

/** The row of a path below src, by its longest folder. */
export function layerOf(path: string): Layer | undefined {
  let best: Layer | undefined;
  for (const layer of layers) {
    if (path !== layer.folder && !path.startsWith(`${layer.folder}/`)) continue;
    if (best === undefined || layer.folder.length > best.folder.length) best = layer;
  }
  return best;
}

/** Undefined when `from` may import `to`, else why not. Both are paths below src. */
export function importProblem(from: string, to: string): string | undefined {
  const source = layerOf(from);
  const target = layerOf(to);
  if (source === undefined) return `${from} lies in no layer`;
  if (target === undefined) return `${to} lies in no layer`;
  const within = (folder: string) => to === folder || to.startsWith(`${folder}/`);
  if (within(source.folder) || source.folder.startsWith(`${target.folder}/`)) return undefined;
  if (target.folder === 'errdefs') return undefined;
  if (target.folder.startsWith('pkg') && source.level > target.level) return undefined;
  if (source.mayImport.includes('*') && target.level < source.level && target.folder !== 'api/server') return undefined;
  if (source.folder === 'cmd') return undefined;
  if (source.mayImport.some(within)) return undefined;
  return `${source.folder} (level ${source.level}) may not import ${to} (level ${target.level})`;
}
