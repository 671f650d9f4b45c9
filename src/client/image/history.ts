/** `history`. */
import { imageHistory } from '#api/client/images.ts';
import { humanSize } from '#pkg/units/size.ts';
import { defineCommand } from '../command.ts';
import { formatFlag, noTruncFlag, quietFlag } from '../common-flags.ts';
import { flag } from '../flags/flag-spec.ts';
import { ago, ellipsis, rfc3339, shortId } from '../format/human.ts';
import { printListing } from '../format/listing.ts';
import { platformFlag, platformJson } from './platform-flag.ts';

const HEADINGS = {
  ID: 'IMAGE',
  CreatedSince: 'CREATED',
  CreatedAt: 'CREATED AT',
  CreatedBy: 'CREATED BY',
  Size: 'SIZE',
  Comment: 'COMMENT',
};
const SIZE_DIGITS = 3;
const CREATED_BY_LENGTH = 45;

export const history = defineCommand({
  operands: 'IMAGE',
  count: [1, 1],
  flags: {
    format: formatFlag(),
    human: flag('Print sizes and dates in human readable format', { shorthand: 'H', initial: true }),
    'no-trunc': noTruncFlag(),
    platform: platformFlag('Show history for the given platform'),
    quiet: quietFlag('Only show image IDs'),
  },
  async run(context, { values, positionals: [image = ''] }) {
    const whole = values['no-trunc'];
    const now = Date.now();
    const rows = (await imageHistory(context.client(), image, platformJson(values.platform))).map((step) => {
      const by = step.CreatedBy.replaceAll('\t', ' ');
      const known = step.Id !== '<missing>';
      return {
        Comment: step.Comment,
        CreatedAt: rfc3339(step.Created),
        CreatedBy: whole ? by : ellipsis(by, CREATED_BY_LENGTH),
        CreatedSince: step.Created <= 0 ? 'N/A' : values.human ? ago(step.Created, now) : rfc3339(step.Created),
        ID: whole || !known ? step.Id : shortId(step.Id),
        Size: values.human ? humanSize(step.Size, SIZE_DIGITS) : String(step.Size),
      };
    });
    const columns = ['ID', values.human ? 'CreatedSince' : 'CreatedAt', 'CreatedBy', 'Size', 'Comment'];
    context.io.out(
      printListing({ rows, columns, headings: HEADINGS, quietField: 'ID', type: '*image.historyContext' }, values),
    );
  },
});
