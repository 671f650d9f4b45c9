/** ADD of archives: unpacked into the destination by descriptors, so nothing of them gets out of the new layer. */
import { BerthError, invalidParameter, kindOf, messageOf } from '#errdefs/errors.ts';
import { byteString } from '#pkg/archive/entry.ts';
import { fstat, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { mkdirAllInRoot, openInRoot, realPathOf } from '#sys/safe-path.ts';
import type { BuildSession } from '../session.ts';
import type { CopyPart } from './copy-part.ts';

interface Unpacking {
  readonly root: number;
  readonly part: CopyPart;
  /** Paths from the part's root. */
  readonly archives: readonly string[];
  readonly destination: string;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

export async function unpackArchives(session: BuildSession, unpacking: Unpacking, signal: AbortSignal): Promise<void> {
  const { root, part, destination, owner } = unpacking;
  for (const archive of unpacking.archives) {
    using file = ownedFd(openInRoot(part.selection.root, archive, O.RDONLY));
    if (fstat(file.fd).size === 0) continue;
    using target = ownedFd(mkdirAllInRoot(root, destination));
    try {
      await session.archives.unpack(
        {
          kind: 'unpack-into',
          root: target.fd,
          scopeRoot: root,
          // Where the kernel says it is: links on the way are resolved.
          path: byteString(realPathOf(target.fd).replace(/^\/+$/, '')),
          refuse: false,
          owner,
        },
        Bun.file(file.fd).stream(),
        { signal },
      );
    } catch (error) {
      if (!(error instanceof BerthError) || kindOf(error) === 'cancelled') throw error;
      throw invalidParameter(`Cannot unpack "${archive}": ${messageOf(error)}`, { cause: error });
    }
  }
}
