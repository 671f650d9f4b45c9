/** `rmi`. */
import { removeImage } from '#api/client/images.ts';
import { ApiError } from '#api/client/api-error.ts';
import { defineCommand } from '../command.ts';
import { describeFailure } from '../failure.ts';
import { flag } from '../flags/flag-spec.ts';
import { platformJson, platformsFlag } from './platform-flag.ts';

export const rmi = defineCommand({
  operands: 'IMAGE [IMAGE...]',
  count: [1, Infinity],
  flags: {
    force: flag('Force removal of the image', { shorthand: 'f' }),
    'no-prune': flag('Do not delete untagged parents'),
    platform: platformsFlag('Remove only the given platform variant'),
  },
  async run(context, { values, positionals }) {
    const client = context.client();
    let code = 0;
    // One after the other: removing a tag may remove the image that the next name means.
    for (const image of positionals) {
      try {
        const deleted = await removeImage(client, image, {
          force: values.force,
          noprune: values['no-prune'],
          platforms: values.platform.map(platformJson),
        });
        for (const { Deleted, Untagged } of deleted) {
          context.io.out(Deleted === undefined ? `Untagged: ${Untagged ?? ''}\n` : `Deleted: ${Deleted}\n`);
        }
      } catch (error) {
        context.io.err(`${describeFailure(error)}\n`);
        if (!(values.force && error instanceof ApiError && error.kind === 'not-found')) code = 1;
      }
    }
    return code;
  },
});
