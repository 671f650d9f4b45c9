/** `tag`. */
import { tagImage } from '#api/client/images.ts';
import { defineCommand } from '../command.ts';
import { splitReference, wellFormed } from './split-reference.ts';

export const tag = defineCommand({
  operands: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  count: [2, 2],
  flags: {},
  run: (context, { positionals: [source = '', target = ''] }) => {
    const complain = (text: string) => `Error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag`;
    // The source may be an id as well.
    if (!/^(?:sha256:)?[0-9a-f]{64}$/.test(source)) wellFormed(source, complain(source));
    wellFormed(target, complain(target));
    const { repository, tag: name } = splitReference(target);
    return tagImage(context.client(), source, repository, name);
  },
});
