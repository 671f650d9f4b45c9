/** ADD of URLs and git repositories: fetched into a directory of the build, then placed like any other file. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { invalidParameter } from '#errdefs/errors.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { download } from '../context/download.ts';
import { checkOut, parseGitSource } from '../context/git.ts';
import type { AddInstruction } from '../dockerfile/instructions.ts';
import type { BuildSession } from '../session.ts';
import type { CopyPart } from './copy-part.ts';

export function isRemote(source: string): boolean {
  return /^https?:\/\//i.test(source) || parseGitSource(source) !== undefined;
}

/** Errors: those of the network; invalid-parameter for a wrong checksum. */
export async function fetchSources(
  session: BuildSession,
  vertex: string,
  instruction: AddInstruction,
  sources: readonly string[],
): Promise<CopyPart[]> {
  const parts: CopyPart[] = [];
  for (const source of sources) {
    const directory = session.held.adopt(fs.mkdtempSync(path.join(session.temporary, 'add-')), (name) =>
      fs.rmSync(name, { recursive: true, force: true }),
    );
    const git = parseGitSource(source);
    parts.push(
      git === undefined
        ? await urlPart(session, vertex, instruction, source, directory)
        : await gitPart(session, instruction, git, directory),
    );
  }
  return parts;
}

async function urlPart(
  session: BuildSession,
  vertex: string,
  instruction: AddInstruction,
  source: string,
  directory: string,
): Promise<CopyPart> {
  const name = decodeURIComponent(new URL(source).pathname).split('/').at(-1) ?? '';
  if (name === '' && instruction.destination.endsWith('/')) {
    throw invalidParameter(`cannot determine filename for source ${source}`);
  }
  const { progress } = session.control;
  await download(source, path.join(directory, name === '' ? 'download' : name), {
    checksum: instruction.checksum,
    signal: session.signal,
    tell: (bytes) => progress.status(vertex, `downloading ${source}`, bytes, undefined),
  });
  return partOf(session, directory, name === '' ? 'download' : name, instruction.unpack === true);
}

async function gitPart(
  session: BuildSession,
  instruction: AddInstruction,
  git: NonNullable<ReturnType<typeof parseGitSource>>,
  directory: string,
): Promise<CopyPart> {
  const keepGitDirectory = instruction.keepGitDir ?? git.keepGitDirectory ?? false;
  const checksum = instruction.checksum ?? git.checksum;
  const { root } = await checkOut({ ...git, checksum }, directory, { keepGitDirectory, signal: session.signal });
  session.held.adopt(root, close);
  return partAt(root, '/', false, instruction.exclude);
}

function partOf(session: BuildSession, directory: string, name: string, unpack: boolean): CopyPart {
  return partAt(session.held.adopt(open(directory, O.PATH | O.DIRECTORY), close), name, unpack, []);
}

function partAt(root: number, source: string, unpack: boolean, exclude: readonly string[]): CopyPart {
  const selection = { root, sources: [source], wildcards: false, ignore: [], exclude, parents: false };
  return { selection, keepOwners: false, unpack };
}
