/** The local ends of a copy: a tree as a stream of tar, and a tar unpacked into a directory of this machine. */
import * as fs from 'node:fs';
import { byteString, type ByteString, type TarEntry } from '#pkg/archive/entry.ts';
import { explainErrno } from '#pkg/archive/explain.ts';
import { packOne, packTree } from '#pkg/archive/pack.ts';
import { TarParser, type TarSink } from '#pkg/archive/parser.ts';
import { Unpacker } from '#pkg/archive/unpack.ts';
import { renamed, splitEntry } from './paths.ts';

/** `count` is told the bytes that went by. */
export type Count = (bytes: number) => void;

/** `source` under another name. Errors of files end the stream. */
export function packLocal(source: string, name: string, count: Count): ReadableStream<Uint8Array> {
  const [directory, own] = splitEntry(source);
  const isWhole = own === '.' || own === '/';
  const fd = fs.openSync(isWhole ? source : directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  const as = byteString(name);
  const pieces = isWhole
    ? packTree({ root: fd, prefix: as.endsWith('/') ? as : `${as}/`, whiteouts: 'none' })
    : packOne({ directory: fd, name: byteString(own), as, whiteouts: 'none' });
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    pieces.return(undefined);
    fs.closeSync(fd);
  };
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      try {
        const next = pieces.next();
        if (next.done === true) {
          close();
          controller.close();
          return;
        }
        count(next.value.length);
        controller.enqueue(next.value);
      } catch (error) {
        close();
        const message = explainErrno(error);
        controller.error(message === undefined ? error : new Error(message, { cause: error }));
      }
    },
    cancel: close,
  });
}

/** Gives entries other names on their way. */
class Renamer implements TarSink {
  readonly #sink: TarSink;
  readonly #rename: (name: ByteString) => ByteString;

  constructor(sink: TarSink, rename: (name: ByteString) => ByteString) {
    this.#sink = sink;
    this.#rename = rename;
  }

  entry(entry: TarEntry): void {
    const path = this.#rename(entry.path);
    const linkPath = entry.type === 'hardlink' ? this.#rename(entry.linkPath) : entry.linkPath;
    this.#sink.entry({ ...entry, path, linkPath });
  }

  data(chunk: Buffer, start: number, end: number, position: number): void {
    this.#sink.data(chunk, start, end, position);
  }

  end(): void {
    this.#sink.end();
  }
}

export interface UnpackLocal {
  readonly archive: ReadableStream<Uint8Array>;
  readonly directory: string;
  /** First name of every entry, and what it becomes. */
  readonly from: string;
  readonly to: string;
  readonly count: Count;
}

/** Files become the user's own. What is hostile in the archive stays in the directory. */
export async function unpackLocal({ archive, directory, from, to, count }: UnpackLocal): Promise<void> {
  const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
  using opened = new DisposableStack();
  const open = (path: string): number => opened.adopt(fs.openSync(path, flags), (fd) => fs.closeSync(fd));
  const path = byteString(fs.realpathSync(directory));
  const scope = { root: open('/'), path: path === '/' ? '' : path };
  process.umask(0);
  const root = open(directory);
  using unpacker = new Unpacker({ root, whiteouts: 'none', scope, into: 'refuse', owner: 'unchanged' });
  const [old, fresh] = [byteString(from), byteString(to)];
  const sink = from === to ? unpacker : new Renamer(unpacker, (name) => renamed(name, old, fresh));
  const parser = new TarParser(sink);
  for await (const chunk of archive) {
    count(chunk.length);
    parser.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  }
  parser.finish();
  unpacker.finish();
}
