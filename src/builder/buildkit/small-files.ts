/** Some small files of a client's directory, in memory: Dockerfiles, ignore files. */
import { dataLoss, invalidParameter } from '#errdefs/errors.ts';
import { cleanPath, splitLast } from '#pkg/archive/names.ts';
import type { MessageOf } from '#pkg/protobuf/protobuf.ts';
import { metadataOf, refusalOf, sizeOf, typeOf } from './receive-files.ts';
import { packetTypes, receiveFiles, type stat } from './session-methods.ts';
import type { Session } from './session.ts';

type Stat = MessageOf<typeof stat>;

const SMALL_FILES_MAX = 1_000;

/** Some small files, by their paths; what is not there, or is no file, is left out. Errors: as of `clientFiles`. */
export async function smallClientFiles(
  session: Session,
  { name, paths, bytesMax }: { readonly name: string; readonly paths: readonly string[]; readonly bytesMax: number },
  told: (bytes: number) => void,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const metadata = metadataOf({ name, include: paths, exclude: [], follow: paths });
  using call = await session.call(receiveFiles, { metadata, signal });
  const listed: Stat[] = [];
  const ids = new Map<number, string>();
  const found = new Map<string, Uint8Array[]>();
  let come = 0;
  for await (const message of call.answers()) {
    told(sizeOf(message));
    if (message.type === packetTypes.error) throw refusalOf(message);
    if (message.type === packetTypes.stat && message.stat !== undefined) {
      listed.push(message.stat);
      if (listed.length > SMALL_FILES_MAX) throw dataLoss('more files than were asked for');
    } else if (message.type === packetTypes.stat) {
      for (const path of paths) {
        const id = fileBehind(listed, path);
        const size = id === undefined ? undefined : listed[id]?.size;
        if (id === undefined || size === undefined) continue;
        if (size > bytesMax) throw invalidParameter(`${JSON.stringify(path)} is larger than ${bytesMax} bytes`);
        found.set(path, []);
        if (size === 0) continue;
        ids.set(id, path);
        await call.send({ type: packetTypes.request, id });
      }
    } else if (message.type === packetTypes.data) {
      const path = ids.get(message.id);
      if (path === undefined) throw dataLoss(`contents of file ${message.id}, which was not asked for`);
      if (message.data.length === 0) ids.delete(message.id);
      found.get(path)?.push(message.data);
      come += message.data.length;
      if (come > bytesMax * paths.length) throw dataLoss(`${JSON.stringify(path)} grew while it was sent`);
    } else break;
    if (message.stat === undefined && ids.size === 0) await call.send({ type: packetTypes.end });
  }
  if (ids.size > 0) throw dataLoss('the client ended before all of its files had come');
  await call.end();
  return new Map([...found].map(([path, chunks]) => [path, Buffer.concat(chunks)]));
}

/** The place in the list of the file that a path leads to, by links among them. */
function fileBehind(listed: readonly Stat[], path: string): number | undefined {
  let at = cleanPath(path);
  for (let links = 0; at !== undefined && links < 40; links++) {
    const here: string = at;
    const prefix = listed.find(
      (one) => typeOf(one) === 'symlink' && (one.path === here || here.startsWith(`${one.path}/`)),
    );
    if (prefix === undefined) {
      const id = listed.findIndex((one) => one.path === here);
      const [one] = id < 0 ? [] : [listed[id]];
      return one !== undefined && ['file', 'hardlink'].includes(typeOf(one) ?? '') ? id : undefined;
    }
    const [directory] = splitLast(prefix.path);
    const target = prefix.linkname.startsWith('/') ? prefix.linkname : `/${directory}/${prefix.linkname}`;
    at = cleanPath(`${target}/${here.slice(prefix.path.length)}`);
  }
  return undefined;
}
