/**
 * Git repositories as contexts and as sources of ADD: `https://host/repo.git#ref:subdir`, `git@host:repo`, and the form
 * with a query (`?ref=…&subdir=…`). The system's git fetches one commit; the subdirectory is resolved inside the checkout
 * by the kernel, so neither `..` nor a link in the repository leads out of it.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { invalidParameter, messageOf, notFound, unavailable } from '#errdefs/errors.ts';
import { log } from '#pkg/log/log.ts';
import { runCommand } from '#pkg/command/command.ts';
import { open, ownedFd } from '#sys/files.ts';
import { O } from '#sys/numbers.ts';
import { tryOpenInRoot } from '#sys/safe-path.ts';

const GIT = '/usr/bin/git';
const FETCH_LIMIT_MS = 600_000;

export interface GitSource {
  readonly url: string;
  /** Branch, tag or commit; '' is the remote's HEAD. */
  readonly ref: string;
  /** '' is the root. */
  readonly subdirectory: string;
  /** The commit must be this one. */
  readonly checksum: string;
  readonly keepGitDirectory: boolean | undefined;
}

/** Undefined for what is no repository. Errors: invalid-parameter for what could be taken for an option. */
export function parseGitSource(text: string): GitSource | undefined {
  const hash = text.indexOf('#');
  const address = hash < 0 ? text : text.slice(0, hash);
  const fragment = hash < 0 ? '' : text.slice(hash + 1);
  const isScp = /^[\w.-]+@[\w.-]+:(?!\/\/)/.test(address);
  const isGitUrl =
    /^(?:git|ssh):\/\//.test(address) ||
    /^https?:\/\/[^?]+\.git(?:\?.*)?$/.test(address) ||
    /^https?:\/\/.*\?.*\b(?:ref|branch|tag|commit|subdir)=/.test(address);
  const isGithub = /^github\.com\/[\w.-]+\/[\w.-]+/.test(address);
  if (!isScp && !isGitUrl && !isGithub) return undefined;
  return gitSource(isGithub ? `https://${address}` : address, fragment);
}

/** Of an address that is one of a repository. Errors: as parseGitSource. */
export function gitSource(url: string, fragment: string): GitSource {
  const [ref = '', subdirectory = ''] = fragment.split(/:(.*)/s);
  let source: GitSource = { url, ref, subdirectory, checksum: '', keepGitDirectory: undefined };
  const query = /^[a-z]+:\/\//i.test(url) ? url.indexOf('?') : -1;
  if (query >= 0) source = withQuery(source, query);
  for (const value of [source.url, source.ref]) {
    if (value.startsWith('-') || /[\0\n]/.test(value))
      throw invalidParameter(`invalid git reference ${JSON.stringify(fragment === '' ? url : `${url}#${fragment}`)}`);
  }
  if (source.subdirectory.split('/').includes('..')) {
    throw invalidParameter(`invalid git subdirectory ${JSON.stringify(source.subdirectory)}`);
  }
  return source;
}

function withQuery(source: GitSource, at: number): GitSource {
  let { ref, subdirectory, checksum, keepGitDirectory } = source;
  for (const [name, value] of new URLSearchParams(source.url.slice(at + 1))) {
    if (name === 'ref' || name === 'branch' || name === 'tag') ref = value;
    else if (name === 'commit' || name === 'checksum') checksum = value;
    else if (name === 'subdir') subdirectory = value;
    else if (name === 'keep-git-dir') keepGitDirectory = value !== 'false' && value !== '0';
    else if (name !== 'submodules') throw invalidParameter(`unexpected query ${JSON.stringify(name)} in a git address`);
  }
  return { ...source, url: source.url.slice(0, at), ref, subdirectory, checksum, keepGitDirectory };
}

/** Checks out into `directory`, which exists and is empty; the root of the files (O_PATH) is the caller's to close. */
export async function checkOut(
  source: GitSource,
  directory: string,
  options: { readonly keepGitDirectory: boolean; readonly signal: AbortSignal },
): Promise<{ readonly root: number; readonly commit: string }> {
  const git = async (...args: readonly string[]): Promise<string> => {
    const program = { program: GIT, timeoutMs: FETCH_LIMIT_MS, signal: options.signal };
    const safe = ['-c', 'core.hooksPath=/dev/null', '-c', 'protocol.ext.allow=never', '-C', directory];
    try {
      return Buffer.from(await runCommand({ ...program, args: [...safe, ...args] })).toString();
    } catch (error) {
      options.signal.throwIfAborted();
      throw unavailable(`failed to fetch remote ${source.url}: ${messageOf(error)}`, { cause: error });
    }
  };
  await git('init', '--quiet');
  await git('remote', 'add', 'origin', source.url);
  const wanted =
    source.checksum !== '' && source.ref === '' ? source.checksum : source.ref === '' ? 'HEAD' : source.ref;
  const isShallow = await fetchRef(git, wanted);
  await git('submodule', '--quiet', 'update', '--init', '--recursive', ...(isShallow ? ['--depth', '1'] : []));
  const commit = (await git('rev-parse', 'HEAD')).trim();
  if (source.checksum !== '' && !commit.startsWith(source.checksum)) {
    throw invalidParameter(`expected checksum to match ${source.checksum}, got ${commit}`);
  }
  if (!options.keepGitDirectory) removeGit(directory);
  using root = ownedFd(open(directory, O.PATH | O.DIRECTORY));
  const inside = source.subdirectory === '' ? '.' : source.subdirectory;
  const found = tryOpenInRoot(root.fd, inside, O.PATH | O.DIRECTORY);
  if (found === undefined) throw notFound(`"${source.subdirectory}" is not a directory of ${source.url}`);
  return { root: found, commit };
}

/** Fetched and checked out; true: without its history, which not every server can leave out. */
async function fetchRef(git: (...args: readonly string[]) => Promise<string>, wanted: string): Promise<boolean> {
  try {
    await git('fetch', '--quiet', '--depth', '1', '--no-tags', 'origin', wanted);
    await git('checkout', '--quiet', '--force', 'FETCH_HEAD');
    return true;
  } catch (error) {
    const isCommit = /^[0-9a-f]{7,64}$/.test(wanted);
    if (!isCommit && !messageOf(error).includes('does not support shallow')) throw error;
    log.debug('a repository is fetched whole', { err: messageOf(error) });
    if (!isCommit) {
      await git('fetch', '--quiet', '--no-tags', 'origin', wanted);
      await git('checkout', '--quiet', '--force', 'FETCH_HEAD');
      return false;
    }
    // A server that gives names only: one of them leads to the commit.
    await git('fetch', '--quiet', '--tags', 'origin', '+refs/heads/*:refs/remotes/origin/*');
    await git('checkout', '--quiet', '--force', '--detach', wanted);
    return false;
  }
}

/** Of submodules too, where it is a file. */
function removeGit(directory: string): void {
  fs.rmSync(path.join(directory, '.git'), { recursive: true, force: true });
}
