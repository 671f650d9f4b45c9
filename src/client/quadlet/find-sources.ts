/** Finds quadlet files and their drop-ins in the directories; a name in an earlier directory hides it in later ones. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { describeSource, type Source } from './source.ts';
import { parseUnitFiles } from './unit-file.ts';

/** podman's kinds that have no equivalent here: told, rather than passed over. */
const FOREIGN = /\.(?:kube|pod|image|build)$/;
const OURS = /\.(?:container|volume|network)$/;
const DEPTH_MAX = 16;

export interface Found {
  readonly sources: readonly Source[];
  readonly problems: readonly string[];
}

export function findSources(directories: readonly string[]): Found {
  const problems: string[] = [];
  const files = new Map<string, string>();
  for (const directory of directories) collect(directory, DEPTH_MAX, files, problems);
  const sources: Source[] = [];
  for (const [name, file] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (FOREIGN.test(name)) {
      problems.push(`${file}: files of this kind are not supported`);
      continue;
    }
    try {
      const texts = [file, ...dropIns(name, directories)].map((one) => ({
        file: one,
        text: fs.readFileSync(one, 'utf8'),
      }));
      const { sections, problems: wrong } = parseUnitFiles(texts);
      problems.push(...wrong);
      const source = describeSource(name, file, sections);
      if (source?.service.includes('/') === true) problems.push(`${file}: ServiceName cannot have a slash`);
      else if (source !== undefined && wrong.length === 0) sources.push(source);
    } catch (error) {
      problems.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { sources, problems };
}

function collect(directory: string, depth: number, files: Map<string, string>, problems: string[]): void {
  for (const name of namesIn(directory, problems)) {
    const file = path.join(directory, name);
    // as in podman: `users` is for the services of users.
    if (name.endsWith('.d') || (name === 'users' && depth === DEPTH_MAX)) continue;
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    if (stat?.isDirectory() === true) {
      if (depth > 0) collect(file, depth - 1, files, problems);
      else problems.push(`${file}: too deep`);
    } else if ((OURS.test(name) || FOREIGN.test(name)) && !files.has(name)) files.set(name, file);
  }
}

/** Of `a-b.container`: `container.d`, `a-.container.d`, `a-b.container.d`; the nearer one's file of a name counts. */
function dropIns(name: string, directories: readonly string[]): string[] {
  const dot = name.lastIndexOf('.');
  const [stem, kind] = [name.slice(0, dot), name.slice(dot + 1)];
  const stems = [...stem.matchAll(/-/g)].map(({ index }) => stem.slice(0, index + 1));
  const template = /^([^@]+@)./.exec(stem)?.[1];
  const own = [...stems, ...(template === undefined ? [] : [template]), stem].map((one) => `${one}.${kind}.d`);
  const found = new Map<string, string>();
  for (const where of [`${kind}.d`, ...own]) {
    for (const directory of directories.toReversed()) {
      const whole = path.join(directory, where);
      for (const file of namesIn(whole, [])) if (file.endsWith('.conf')) found.set(file, path.join(whole, file));
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
}

function namesIn(directory: string, problems: string[]): string[] {
  try {
    return fs.readdirSync(directory).sort();
  } catch (error) {
    // Most hosts have not all of the directories.
    const missing = error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
    if (!missing) problems.push(`${directory}: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
}
