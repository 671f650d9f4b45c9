/** `inspect --as run|compose`. */
import { ApiError } from '#api/client/api-error.ts';
import { inspectContainer } from '#api/client/containers.ts';
import { inspectImage } from '#api/client/images.ts';
import { systemInfo } from '#api/client/system.ts';
import type { ImageInspect } from '#api/types/image.ts';
import { type CommandContext, UsageError } from '../command.ts';
import { recipeOf } from './settings.ts';
import { composeFile, runCommand } from './write.ts';

export async function printRecipes(context: CommandContext, names: readonly string[], as: string): Promise<void> {
  if (as !== 'run' && as !== 'compose') throw new UsageError(`unknown --as "${as}": there is run and compose`);
  const client = context.client();
  const info = await systemInfo(client);
  const defaults = {
    cgroupVersion: info.CgroupVersion ?? '',
    logDriver: info.LoggingDriver,
    runtime: info.DefaultRuntime,
  };
  const texts: string[] = [];
  for (const name of names) {
    const container = await inspectContainer(client, name);
    const recipe = recipeOf(container, await imageOrNone(context, container.Image), defaults);
    texts.push(as === 'run' ? runCommand(recipe) : composeFile(recipe));
  }
  context.io.out(texts.join(as === 'run' ? '' : '---\n'));
}

/** Without its image everything counts as given. */
async function imageOrNone(context: CommandContext, id: string): Promise<ImageInspect | undefined> {
  try {
    return await inspectImage(context.client(), id);
  } catch (error) {
    if (error instanceof ApiError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
