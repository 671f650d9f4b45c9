/**
 * Which files of this host an image needs so that given programs run in it: the programs, what they link to, the
 * loader, interpreters of scripts. Paths stay as they are on the host; folders that are links there (/bin → usr/bin)
 * are links in the image.
 */
import { readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { invalidParameter, notFound } from '#errdefs/errors.ts';
import { busyboxApplets } from './applets.ts';
import { type ElfFile, isElf, parseElf } from './elf.ts';
import { parseLibraryCache } from './library-cache.ts';

export type HostFile =
  | { readonly kind: 'file'; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: 'link'; readonly target: string };

/** Absolute path → file. */
export type HostFiles = ReadonlyMap<string, HostFile>;

const CACHE = '/etc/ld.so.cache';
const TRIPLETS: Readonly<Record<number, string>> = {
  62: 'x86_64-linux-gnu',
  183: 'aarch64-linux-gnu',
  3: 'i386-linux-gnu',
};
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Best first. */
const SHELLS = ['sh', 'dash', 'bash', 'busybox'];
/** Links at the top of most systems. */
const TOP_LINKS = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
const FILE_BYTES_MAX = 1 << 30;

export class HostFileCollector {
  readonly #files = new Map<string, HostFile>();
  readonly #path: readonly string[];
  #cache: ReadonlyMap<string, readonly string[]> | undefined;

  constructor(path: string | undefined) {
    this.#path = (path ?? DEFAULT_PATH).split(':').filter((folder) => folder.startsWith('/'));
  }

  /** A name is looked for in PATH. Answers the path in the image. Errors: not-found. */
  addProgram(program: string): string {
    const path = program.includes('/') ? resolve(program) : this.#find(program);
    const content = this.#add(path);
    if (isElf(content)) this.#addElf(parseElf(content, path), path);
    else this.#addScript(content, path);
    if (basename(path).startsWith('busybox')) this.#addApplets(path, content);
    return path;
  }

  /** A shell under another name is `sh` too: it is what everybody runs first. */
  addShell(paths: readonly string[]): void {
    const shell = SHELLS.map((name) => paths.find((path) => basename(path) === name)).find(
      (path) => path !== undefined,
    );
    if (shell === undefined) return;
    const folder = realpathSync(dirname(shell));
    const link = join(folder, 'sh');
    if (!this.#files.has(link)) this.#files.set(link, { kind: 'link', target: join(folder, basename(shell)) });
  }

  /** A file as it is (data, configuration). */
  addFile(path: string): void {
    if (!path.startsWith('/')) throw invalidParameter(`Cannot take "${path}": not an absolute path`);
    this.#add(path);
  }

  /** Links at the top of the host that the collected paths go through, and the files. */
  files(): HostFiles {
    const all = new Map<string, HostFile>();
    for (const link of TOP_LINKS) {
      const target = linkTarget(link);
      if (target !== undefined) all.set(link, { kind: 'link', target });
    }
    for (const [path, file] of this.#files) all.set(path, file);
    return all;
  }

  #find(name: string): string {
    for (const folder of this.#path) {
      const path = join(folder, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat?.isFile() === true && (stat.mode & 0o111) !== 0) return path;
    }
    throw notFound(`No such program: ${name}`);
  }

  /** Adds one file where its folder really is; a link becomes a link straight to its end, which is added too. */
  #add(path: string): Uint8Array {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw notFound(`No such file: ${path}`);
    if (!stat.isFile()) throw invalidParameter(`Cannot take "${path}": not a file`);
    if (stat.size > FILE_BYTES_MAX) throw invalidParameter(`Cannot take "${path}": it is larger than 1 GiB`);
    const end = realpathSync(path);
    const here = join(realpathSync(dirname(path)), basename(path));
    let file = this.#files.get(end);
    if (file?.kind !== 'file') {
      file = { kind: 'file', mode: stat.mode & 0o777, bytes: readFileSync(end) };
      this.#files.set(end, file);
    }
    if (here !== end && !this.#files.has(here)) this.#files.set(here, { kind: 'link', target: end });
    return file.kind === 'file' ? file.bytes : new Uint8Array(0);
  }

  #addElf(elf: ElfFile, path: string): void {
    if (elf.interpreter !== '') this.#add(elf.interpreter);
    const seen = new Set<string>();
    const open: { readonly elf: ElfFile; readonly path: string }[] = [{ elf, path }];
    for (let one = open.shift(); one !== undefined; one = open.shift()) {
      for (const name of one.elf.needed) {
        if (seen.has(name)) continue;
        seen.add(name);
        const library = this.#findLibrary(name, one.elf, one.path);
        open.push({ elf: parseElf(this.#add(library), library), path: library });
        this.#reachable(name, library, elf);
      }
    }
  }

  #findLibrary(name: string, user: ElfFile, userPath: string): string {
    const origin = dirname(realpathSync(userPath));
    const own = user.runPath.length > 0 ? user.runPath : user.rPath;
    const expand = (path: string) => path.replaceAll(/\$ORIGIN|\$\{ORIGIN\}/g, origin);
    const candidates = name.includes('/')
      ? [name]
      : [
          ...own.map((folder) => join(expand(folder), name)),
          ...(this.#libraries().get(name) ?? []),
          ...standardFolders(user.machine).map((folder) => join(folder, name)),
        ];
    for (const path of candidates) {
      if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) continue;
      const content = readFileSync(path);
      if (!isElf(content)) continue;
      const { machine, bits } = parseElf(content, path);
      if (machine === user.machine && bits === user.bits) return path;
    }
    throw notFound(`No such library: ${name}, which ${userPath} needs`);
  }

  /** The image has no ld.so.cache: a library outside the loader's own folders gets a link in one of them. */
  #reachable(name: string, library: string, program: ElfFile): void {
    const folders = standardFolders(program.machine);
    const own = [...program.runPath, ...program.rPath];
    if (name.includes('/') || own.length > 0) return;
    const real = realpathSync(dirname(library));
    const known = folders.map((folder) => realFolder(folder));
    if (known.includes(real)) return;
    const home = known.find((folder) => folder !== undefined);
    if (home !== undefined) this.#files.set(join(home, name), { kind: 'link', target: realpathSync(library) });
  }

  #libraries(): ReadonlyMap<string, readonly string[]> {
    if (this.#cache === undefined) {
      const there = statSync(CACHE, { throwIfNoEntry: false }) !== undefined;
      this.#cache = there ? parseLibraryCache(readFileSync(CACHE)) : new Map<string, readonly string[]>();
    }
    return this.#cache;
  }

  /** `#!/usr/bin/env name` needs both. */
  #addScript(content: Uint8Array, path: string): void {
    const line = /^#! *(\S+)(?: +(\S+))?/.exec(new TextDecoder().decode(content.subarray(0, 256)));
    const [, interpreter, argument] = line ?? [];
    if (interpreter === undefined) throw invalidParameter(`Cannot take "${path}": neither an ELF program nor a script`);
    this.addProgram(interpreter);
    if (basename(interpreter) === 'env' && argument !== undefined && !argument.startsWith('-'))
      this.addProgram(argument);
  }

  #addApplets(path: string, content: Uint8Array): void {
    const folder = realpathSync(dirname(path));
    const target = join(folder, basename(path));
    for (const name of busyboxApplets(content)) {
      const link = join(folder, name);
      if (!this.#files.has(link)) this.#files.set(link, { kind: 'link', target });
    }
  }
}

function standardFolders(machine: number): readonly string[] {
  const triplet = TRIPLETS[machine];
  return [
    ...(triplet === undefined ? [] : [`/lib/${triplet}`, `/usr/lib/${triplet}`]),
    '/lib64',
    '/usr/lib64',
    '/lib',
    '/usr/lib',
    '/usr/local/lib',
  ];
}

function realFolder(path: string): string | undefined {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true ? realpathSync(path) : undefined;
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
