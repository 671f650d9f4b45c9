/** COPY and ADD: sources (paths, URLs, heredocs), a destination and many flags. */
import { type FlagTable, Flags } from './flags.ts';
import { heredocMark, heredocText } from './heredoc.ts';
import type { AddInstruction, CopyInstruction, InlineFile } from './instructions.ts';
import { type Reading, texts } from './reading.ts';
import { Fault } from './source.ts';
import { jsonWords, plainWords } from './words.ts';

const shared: FlagTable = { chown: 'string', chmod: 'string', link: 'boolean', exclude: 'strings' };
const copyFlags: FlagTable = { ...shared, from: 'string', parents: 'boolean' };
const addFlags: FlagTable = { ...shared, checksum: 'string', 'keep-git-dir': 'boolean', unpack: 'boolean' };

export function copyOrAdd(reading: Reading, keyword: 'COPY' | 'ADD'): CopyInstruction | AddInstruction {
  const { split, node } = reading;
  const json = jsonWords(split.rest);
  const words = texts(json ?? plainWords(split.rest));
  const destination = words.at(-1);
  if (destination === undefined || words.length < 2) {
    throw new Fault(
      `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined.`,
    );
  }
  const flags = Flags.parse(keyword === 'COPY' ? copyFlags : addFlags, split.flags);
  const { sources, contents } = sourcesOf(reading, keyword, words, json !== undefined);
  const common = {
    ...node,
    sources,
    contents,
    destination,
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.boolean('link') ?? false,
    exclude: texts(flags.strings('exclude')),
  };
  if (keyword === 'COPY') {
    const from = flags.string('from');
    if (from?.includes('$') === true) {
      const why =
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope';
      throw new Fault(`${why} as a workaround`, { offset: flags.offsetOf('from') ?? 0 });
    }
    return { ...common, keyword, from, parents: flags.boolean('parents') ?? false };
  }
  return {
    ...common,
    keyword,
    checksum: flags.string('checksum'),
    keepGitDir: flags.boolean('keep-git-dir'),
    unpack: flags.boolean('unpack'),
  };
}

function sourcesOf(reading: Reading, keyword: string, words: readonly string[], json: boolean) {
  const sources: string[] = [];
  const contents: InlineFile[] = [];
  if (!json && heredocMark(words.at(-1) ?? '') !== undefined) {
    throw new Fault(`${keyword} cannot accept a heredoc as a destination`);
  }
  for (const word of words.slice(0, -1)) {
    const mark = json ? undefined : heredocMark(word);
    const heredoc = mark === undefined ? undefined : reading.line.heredocs.find(({ name }) => name === mark.name);
    if (heredoc === undefined) sources.push(word);
    else contents.push({ name: heredoc.name, content: heredocText(heredoc), expand: heredoc.expand });
  }
  return { sources, contents };
}
