/**
 * COPY and the local part of ADD. What is copied is recognised by its content, so that a stage that was built anew with
 * the same files, or a fresh checkout, does not build what follows again.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { invalidParameter } from '#errdefs/errors.ts';
import { close, open } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import type { Meaning } from '../cache.ts';
import { resolvePath } from '../config.ts';
import type { AddInstruction, CopyInstruction, InlineFile } from '../dockerfile/instructions.ts';
import type { DigestJob, DigestResult, ModeChange } from '../files/jobs.ts';
import { parseMode } from '../files/mode.ts';
import type { BuildSession } from '../session.ts';
import type { CopyPart } from './copy-part.ts';

export interface CopyPlan {
  readonly parts: readonly CopyPart[];
  readonly digests: readonly DigestResult[];
  /** Absolute; ends in a slash when it was written so. */
  readonly destination: string;
  readonly intoDirectory: boolean;
  readonly chown: string | undefined;
  readonly mode: ModeChange | undefined;
  readonly timeNs: bigint | undefined;
}

type Copying = CopyInstruction | AddInstruction;

/** What becomes of the destination, before the files are known. Errors: invalid-parameter. */
export function destinationOf(
  instruction: Copying,
  workdir: string | undefined,
): { readonly destination: string; readonly isDirectory: boolean } {
  const { destination: written } = instruction;
  const isDirectory = written.endsWith('/') || written === '.' || written.endsWith('/.');
  const destination = resolvePath(workdir, written);
  const many = instruction.sources.length + instruction.contents.length > 1;
  if (many && !isDirectory) {
    throw invalidParameter(
      `When using ${instruction.keyword} with more than one source file, the destination must be a directory and end with a /`,
    );
  }
  return { destination, isDirectory };
}

/** Errors: not-found naming a source. */
export async function planCopy(
  session: BuildSession,
  instruction: Copying,
  parts: readonly CopyPart[],
  workdir: string | undefined,
  known?: readonly DigestResult[],
): Promise<CopyPlan> {
  const { destination, isDirectory } = destinationOf(instruction, workdir);
  const mode = instruction.chmod === undefined ? undefined : parseMode(instruction.chmod);
  const ofPart = ({ selection, keepOwners, unpack: archives }: CopyPart): Promise<DigestResult> => {
    const owners = keepOwners && instruction.chown === undefined;
    return digestOf(session, { kind: 'digest', selection, owners, archives });
  };
  const digests = known ?? (await Promise.all(parts.map(ofPart)));
  const matched = digests.reduce((sum, digest) => sum + digest.matched.length, 0);
  if (matched === 0) throw invalidParameter(`${instruction.keyword} failed: no source files were specified`);
  if (matched > 1 && !isDirectory && digests.some((digest) => digest.matched.some((match) => !match.directory))) {
    throw invalidParameter(
      `When using ${instruction.keyword} with more than one source file, the destination must be a directory and end with a /`,
    );
  }
  const { sourceDateEpoch } = session.request;
  return {
    parts,
    digests,
    destination,
    intoDirectory: isDirectory,
    chown: instruction.chown,
    mode,
    timeNs: sourceDateEpoch === undefined ? undefined : BigInt(sourceDateEpoch) * 1_000_000_000n,
  };
}

/** Of the same files it is asked for once. */
export function digestOf(session: BuildSession, job: DigestJob): Promise<DigestResult> {
  const name = JSON.stringify(job);
  let digest = session.digests.get(name);
  if (digest === undefined) {
    digest = session.files.digest(job, session.signal);
    digest.catch(() => undefined);
    session.digests.set(name, digest);
  }
  return digest;
}

/** What a COPY from another stage means by how that stage came about. */
export function originOfCopy(
  session: BuildSession,
  instruction: CopyInstruction,
  from: string,
  workdir: string | undefined,
): Meaning {
  const { destination, isDirectory } = destinationOf(instruction, workdir);
  const { sourceDateEpoch } = session.request;
  return {
    kind: 'copy',
    from,
    sources: instruction.sources,
    contents: instruction.contents.map(({ name, content }) => [name, content]),
    exclude: instruction.exclude,
    destination,
    intoDirectory: isDirectory,
    owner: instruction.chown ?? '',
    mode: instruction.chmod ?? '',
    parents: instruction.parents,
    times: sourceDateEpoch === undefined ? '' : String(sourceDateEpoch),
  };
}

export function meaningOfCopy(plan: CopyPlan): Readonly<Record<string, unknown>> {
  return {
    kind: 'copy',
    files: plan.digests.map(({ digest }) => digest),
    destination: plan.destination,
    intoDirectory: plan.intoDirectory,
    owner: plan.chown ?? '',
    mode: plan.mode ?? '',
    parts: plan.parts.map(({ unpack, keepOwners, selection }) => [unpack, keepOwners, selection.parents]),
    times: plan.timeNs === undefined ? '' : String(plan.timeNs),
  };
}

/** Carries the plan out in the file system at `root`, which stands on `on`. */
export async function carryOut(
  session: BuildSession,
  plan: CopyPlan,
  root: number,
  signal: AbortSignal,
): Promise<void> {
  const owner = plan.chown === undefined ? undefined : session.backend.resolveUser(root, plan.chown);
  for (const [index, part] of plan.parts.entries()) {
    const digest = plan.digests[index];
    const { archives, others } = part.unpack
      ? splitArchives(part, digest)
      : { archives: [], others: part.selection.sources };
    if (archives.length > 0) {
      const { unpackArchives } = await import('./unpack.ts');
      await unpackArchives(session, { root, part, archives, destination: plan.destination, owner }, signal);
    }
    if (others.length === 0) continue;
    await session.files.place(
      {
        kind: 'place',
        selection: archives.length > 0 ? { ...part.selection, sources: others, wildcards: false } : part.selection,
        target: root,
        destination: plan.destination,
        intoDirectory: plan.intoDirectory,
        owner: owner ?? (part.keepOwners ? 'keep' : { uid: 0, gid: 0 }),
        mode: plan.mode,
        timeNs: plan.timeNs,
        parentOwner: owner ?? { uid: 0, gid: 0 },
      },
      signal,
    );
  }
}

/** Archives are recognised by their first bytes, never by their names. */
function splitArchives(
  part: CopyPart,
  digest: DigestResult | undefined,
): { readonly archives: readonly string[]; readonly others: readonly string[] } {
  const archives = (digest?.archives ?? []).map((at) => digest?.matched[at]?.path ?? '');
  if (archives.length === 0) return { archives, others: part.selection.sources };
  const others = (digest?.matched ?? []).map(({ path: found }) => found).filter((found) => !archives.includes(found));
  return { archives, others };
}

/** Heredocs as files of a temporary directory, which is the build's. */
export function inlineFiles(session: BuildSession, contents: readonly InlineFile[]): number {
  const directory = session.held.adopt(fs.mkdtempSync(path.join(session.temporary, 'inline-')), (name) =>
    fs.rmSync(name, { recursive: true, force: true }),
  );
  for (const { name, content } of contents) {
    if (name.includes('/') || name === '..' || name === '.')
      throw invalidParameter(`invalid heredoc name ${JSON.stringify(name)}`);
    fs.writeFileSync(path.join(directory, name), content, { mode: 0o644, flag: 'wx' });
    fs.chmodSync(path.join(directory, name), 0o644);
  }
  return session.held.adopt(open(directory, O.PATH | O.DIRECTORY), close);
}

/** COPY's sources: a context or a stage, and heredocs. */
export function partsOf(
  session: BuildSession,
  instruction: Copying,
  from: { readonly root: number; readonly ofContext: boolean } | undefined,
): CopyPart[] {
  const parts: CopyPart[] = [];
  const unpack = instruction.keyword === 'ADD' && instruction.unpack !== false;
  if (from !== undefined && instruction.sources.length > 0) {
    parts.push({
      selection: {
        root: from.root,
        sources: instruction.sources,
        wildcards: true,
        ignore: from.ofContext ? session.request.ignore : [],
        exclude: instruction.exclude,
        parents: instruction.keyword === 'COPY' && instruction.parents,
      },
      keepOwners: !from.ofContext,
      unpack,
    });
  }
  if (instruction.contents.length > 0) {
    parts.push({
      selection: {
        root: inlineFiles(session, instruction.contents),
        sources: instruction.contents.map(({ name }) => name),
        wildcards: false,
        ignore: [],
        exclude: [],
        parents: false,
      },
      keepOwners: false,
      unpack: false,
    });
  }
  return parts;
}
