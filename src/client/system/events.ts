/** `events`. */
import { systemEvents } from '#api/client/system.ts';
import type { EventMessage } from '#api/types/system.ts';
import { defineCommand } from '../command.ts';
import { filterFlag } from '../common-flags.ts';
import { parseFilters } from '../filters.ts';
import { text } from '../flags/flag-spec.ts';
import { timestampOf } from '../container/timestamp.ts';
import { goJson, localNanoseconds } from '../format/human.ts';
import { parseTemplate, render } from '../format/template.ts';

export const events = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    filter: filterFlag(),
    format: text(
      "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template",
    ),
    since: text('Show all events created since timestamp'),
    until: text('Stream events until this timestamp'),
  },
  examples: ["berth events --filter type=container --format '{{.Action}} {{.Actor.Attributes.name}}'"],
  async run(context, { values }) {
    const template = values.format === '' || values.format === 'json' ? undefined : parseTemplate(values.format);
    const now = new Date();
    const stream = systemEvents(context.client(), {
      since: timestampOf(undefined, values.since, now),
      until: timestampOf(undefined, values.until, now),
      filters: parseFilters(values.filter),
    });
    for await (const event of stream) {
      const line =
        values.format === '' ? lineOf(event) : template === undefined ? goJson(event) : render(template, event);
      context.io.out(`${line}\n`);
    }
  },
});

/** `2026-11-22T17:01:48.123456789Z container start ID (image=bb, name=c1)`. */
function lineOf(event: EventMessage): string {
  const attributes = Object.entries(event.Actor.Attributes ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const what = attributes.length === 0 ? '' : ` (${attributes.join(', ')})`;
  return `${localNanoseconds(event.time, event.timeNano)} ${event.Type} ${event.Action} ${event.Actor.ID}${what}`;
}
