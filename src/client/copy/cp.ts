/** `cp`. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { getContainerArchive, putContainerArchive, statContainerPath } from '#api/client/container-files.ts';
import { ApiError } from '#api/client/api-error.ts';
import type { ContainerPathStat } from '#api/types/container.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { flag } from '../flags/flag-spec.ts';
import { archiveOnStdin } from '../image/archive-input.ts';
import { OutputPort } from '../terminal/output-port.ts';
import {
  absolutePath,
  type CopyArgument,
  type CopyInfo,
  followedName,
  localDestination,
  localSource,
  parseArgument,
  place,
  splitEntry,
} from './paths.ts';
import { CopyProgress } from './progress.ts';
import { packLocal, unpackLocal } from './transfer.ts';

/** Bits of Go's os.FileMode. */
const IS_DIRECTORY = 2 ** 31;
const IS_LINK = 2 ** 27;
const IS_SPECIAL = 2 ** 26 + 2 ** 25 + 2 ** 24 + 2 ** 21 + 2 ** 19;

interface Options {
  readonly archive: boolean;
  readonly followLink: boolean;
  readonly progress: boolean;
}

export const cp = defineCommand({
  operands: 'CONTAINER:SRC_PATH DEST_PATH|-\n       berth cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH',
  count: [2, 2],
  flags: {
    archive: flag('Archive mode (copy all uid/gid information)', { shorthand: 'a' }),
    'follow-link': flag('Always follow symbol link in SRC_PATH', { shorthand: 'L' }),
    quiet: flag(
      'Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached',
      { shorthand: 'q' },
    ),
  },
  examples: ['berth cp web:/var/log/app.log .', 'berth cp ./site/. web:/srv', 'tar c dir | berth cp - web:/tmp'],
  async run(context, { values, positionals: [from = '', to = ''] }) {
    if (from === '') throw new ExitError(1, 'source can not be empty');
    if (to === '') throw new ExitError(1, 'destination can not be empty');
    const [source, destination] = [parseArgument(from), parseArgument(to)];
    const options = {
      archive: values.archive,
      followLink: values['follow-link'],
      progress: !values.quiet && context.io.stdoutIsTerminal,
    };
    if (source.container !== '' && destination.container !== '') {
      throw new ExitError(1, 'copying between containers is not supported');
    }
    if (source.container !== '') await copyOut(context, source, destination.path, options);
    else if (destination.container !== '') await copyIn(context, source.path, destination, options);
    else throw new ExitError(1, 'must specify at least one container source');
  },
});

const isDirectory = (stat: ContainerPathStat): boolean => Math.floor(stat.mode / IS_DIRECTORY) % 2 === 1;
const isLink = (stat: ContainerPathStat): boolean => Math.floor(stat.mode / IS_LINK) % 2 === 1;

function isSpecial(stat: ContainerPathStat): boolean {
  return !isDirectory(stat) && ((stat.mode % IS_DIRECTORY) & IS_SPECIAL) !== 0;
}

function linkTargetOf(asked: string, stat: ContainerPathStat): string {
  return stat.linkTarget.startsWith('/') ? stat.linkTarget : path.join(path.dirname(asked), stat.linkTarget);
}

async function copyOut(
  context: CommandContext,
  source: CopyArgument,
  destination: string,
  options: Options,
): Promise<void> {
  const client = context.client();
  const toStdout = destination === '-';
  const target = toStdout ? '' : absolutePath(destination);
  if (!toStdout) checkOutput(target);
  let from = source.path;
  let rebaseName = '';
  if (options.followLink) {
    const stat = await statIfThere(() => statContainerPath(client, source.container, from));
    if (stat !== undefined && isLink(stat)) [from, rebaseName] = followedName(from, linkTargetOf(from, stat));
  }
  const { stat, body } = await getContainerArchive(client, source.container, from);
  if (toStdout) {
    const stdout = new OutputPort(1);
    for await (const chunk of body) await stdout.write(chunk);
    await stdout.drained();
    return;
  }
  const info: CopyInfo = { path: from, exists: true, isDirectory: isDirectory(stat), rebaseName };
  const { directory, to } = place(info, localDestination(target));
  // The archive calls it by its own name, whatever it is called at its destination.
  const [, own] = splitEntry(from);
  const shown = options.progress ? new CopyProgress(context.io, 'Copying from container') : undefined;
  try {
    await unpackLocal({ archive: body, directory, from: own, to, count: shown?.count ?? (() => undefined) });
  } catch (error) {
    shown?.clear();
    throw error;
  }
  shown?.done(target);
}

/** Its directory exists, and it is no device or the like. */
function checkOutput(target: string): void {
  const directory = path.dirname(target.replace(/\/\.?$/, ''));
  if (directory !== '' && !fs.existsSync(directory)) {
    throw new ExitError(1, `invalid output path: directory "${directory}" does not exist`);
  }
  const stat = fs.statSync(target, { throwIfNoEntry: false });
  if (stat === undefined || stat.isDirectory() || stat.isFile()) return;
  throw new ExitError(1, `invalid output path: "${target}" must be a directory or a regular file`);
}

/** What cannot be looked at is told by what is done with it. */
async function statIfThere(look: () => Promise<ContainerPathStat>): Promise<ContainerPathStat | undefined> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

async function copyIn(
  context: CommandContext,
  source: string,
  destination: CopyArgument,
  options: Options,
): Promise<void> {
  const client = context.client();
  const { container } = destination;
  const stat = (at: string) => statIfThere(() => statContainerPath(client, container, at));
  let target = destination.path;
  let found = await stat(target);
  if (found !== undefined && isLink(found)) {
    target = linkTargetOf(target, found);
    found = await stat(target);
  }
  const shownTarget = `${container}:${destination.path}`;
  if (found !== undefined && isSpecial(found)) {
    throw new ExitError(1, `destination "${shownTarget}" must be a directory or a regular file`);
  }
  const info: CopyInfo = {
    path: target,
    exists: found !== undefined,
    isDirectory: found !== undefined && isDirectory(found),
    rebaseName: '',
  };
  const put = (directory: string, archive: ReadableStream<Uint8Array>) =>
    putContainerArchive(
      client,
      container,
      { path: directory, noOverwriteDirNonDir: true, copyUIDGID: options.archive },
      archive,
    );
  if (source === '-') {
    if (!info.isDirectory) throw new ExitError(1, `destination "${shownTarget}" must be a directory`);
    await put(target, archiveOnStdin());
    return;
  }
  const local = localSource(absolutePath(source), options.followLink);
  const { directory, to } = place(local, info);
  const shown = options.progress ? new CopyProgress(context.io, 'Copying to container') : undefined;
  try {
    await put(directory, packLocal(local.path, to, shown?.count ?? (() => undefined)));
  } catch (error) {
    shown?.clear();
    throw error;
  }
  shown?.done(shownTarget);
}
