/** The pull of `run` and `create` when the image is missing, or `--pull always`. */
import { pullImage } from '#api/client/images.ts';
import type { CommandContext } from '../command.ts';
import { progressColumns, showProgress } from '../image/show-progress.ts';
import { splitReference } from '../image/split-reference.ts';
import { authHeaders } from '../registry/credentials.ts';

export async function pullForContainer(
  context: CommandContext,
  image: string,
  values: { readonly quiet: boolean; readonly platform: string },
): Promise<void> {
  const { repository, tag } = splitReference(image);
  const write = (text: string) => {
    if (!values.quiet) context.io.err(text);
  };
  const messages = pullImage(context.client(), repository, {
    tag: tag || 'latest',
    platform: values.platform,
    headers: await authHeaders(context, image),
  });
  await showProgress(messages, { write, columns: progressColumns(context) });
}
