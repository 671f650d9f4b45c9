/** `tag`. */
import { tagImage } from '#api/client/images.ts';
import { defineCommand } from '../command.ts';
import { splitReference } from './split-reference.ts';

export const tag = defineCommand({
  operands: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  count: [2, 2],
  flags: {},
  run: (context, { positionals: [source = '', target = ''] }) => {
    const { repository, tag: name } = splitReference(target);
    return tagImage(context.client(), source, repository, name);
  },
});
