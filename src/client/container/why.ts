/** `why`: what ended a container, run by run, also of one that has been removed. Berth's own. */
import { whyContainer } from '#api/client/containers.ts';
import type { Why, WhyEnding } from '#api/types/why.ts';
import { defineCommand } from '../command.ts';
import { flag, integer, text } from '../flags/flag-spec.ts';
import { goJson, shortId } from '../format/human.ts';
import { parseTemplate, render } from '../format/template.ts';
import { humanDuration } from '#pkg/units/duration.ts';

export const why = defineCommand({
  operands: 'CONTAINER',
  count: [1, 1],
  flags: {
    format: text(
      "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template",
    ),
    last: integer('Number of runs to show', { shorthand: 'n', initial: 5 }),
    'no-logs': flag('Do not show the last lines of the log'),
  },
  examples: ['berth why web', "berth why --format '{{(index .Endings 0).Cause}}' web"],
  async run(context, { values, positionals: [container = ''] }) {
    const answer = await whyContainer(context.client(), container);
    if (values.format === 'json') context.io.out(`${goJson(answer)}\n`);
    else if (values.format !== '') context.io.out(`${render(parseTemplate(values.format), answer)}\n`);
    else context.io.out(story(answer, values.last, !values['no-logs']));
  },
});

function story(answer: Why, last: number, logs: boolean): string {
  const gone = answer.RemovedAt === undefined ? '' : ` (removed ${answer.RemovedAt})`;
  const lines = [`${answer.Name.slice(1)} (${shortId(answer.Id)}), ${answer.Image}: ${answer.Status}${gone}`];
  if (answer.RestartCount > 0) lines.push(`restarted ${answer.RestartCount} times by its policy`);
  if (answer.Endings.length === 0) lines.push('no run of it has ended');
  for (const ending of answer.Endings.slice(0, Math.max(1, last))) lines.push('', ...told(ending, logs));
  return `${lines.join('\n')}\n`;
}

function told(ending: WhyEnding, logs: boolean): string[] {
  const ran = ending.RanMs < 1000 ? `${ending.RanMs} ms` : humanDuration(ending.RanMs).toLowerCase();
  const again =
    ending.RestartAfterMs === undefined ? [] : [`  started again by its policy after ${ending.RestartAfterMs} ms`];
  const log =
    logs && ending.LastLines.length > 0 ? ['  last lines:', ...ending.LastLines.map((line) => `    ${line}`)] : [];
  return [
    `${ending.FinishedAt}  ${ending.Summary}`,
    `  cause ${ending.Cause}, exit code ${ending.ExitCode}, ran ${ran}`,
    ...again,
    ...log,
  ];
}
