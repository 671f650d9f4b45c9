/** `berth completion SHELL` prints the shell's script; `berth __complete` answers what the script asks. */
import { type CommandContext, defineCommand, UsageError } from '../command.ts';
import { pluginNames } from '../plugins/plugins.ts';
import { complete } from './complete.ts';
import { liveNames } from './names.ts';
import { SCRIPTS } from './scripts.ts';

export const completion = defineCommand({
  operands: 'bash|zsh|fish',
  count: [1, 1],
  flags: {},
  examples: [
    'source <(berth completion bash)',
    'berth completion zsh > "${fpath[1]}/_berth"',
    'berth completion fish > ~/.config/fish/completions/berth.fish',
  ],
  async run(context, { positionals: [shell = ''] }) {
    const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
    if (script === undefined) throw new UsageError(`no completion for "${shell}": there is bash, zsh and fish`);
    context.io.out(script);
  },
});

/** A candidate a line, its description behind a tab; `:files` at the end when names of files fit as well. */
export async function answerShell(context: CommandContext, words: readonly string[]): Promise<void> {
  const { environment, globals } = context;
  const lookUp = liveNames(context.client, environment, globals.config);
  const { candidates, files } = await complete(context.table, words, lookUp, pluginNames(globals, environment));
  const lines = candidates.map(({ value, description }) => `${value}\t${oneLine(description)}\n`);
  context.io.out(`${lines.join('')}${files ? ':files\n' : ''}`);
}

/** Names and texts of others do not reach the terminal as they are. */
function oneLine(text: string): string {
  return text.replace(/\p{C}+/gu, ' ');
}
