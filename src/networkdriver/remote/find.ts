/** Plugins that make networks or give addresses, by Docker's legacy protocol. */
import { notFound } from '#errdefs/errors.ts';
import { PluginClient } from '#plugins/client.ts';

export type PluginSubject = 'NetworkDriver' | 'IpamDriver';

/** Errors: not-found in dockerd's words; those of a plugin that does not answer. */
export async function findPlugin(name: string, subject: PluginSubject): Promise<void> {
  const implemented = await new PluginClient(name).activate();
  if (!implemented.includes(subject)) {
    throw notFound(
      `plugin "${name}" does not implement ${subject}: it implements ${implemented.join(', ') || 'nothing'}`,
    );
  }
}
