/** `export`: the root file system as a tar, without what is mounted in it. */
import type { OutputStream } from '#api/jobs/streams.ts';
import { publishContainerEvent } from '../container/event.ts';
import type { Services } from '../services.ts';
import { openView } from './view.ts';

export async function exportContainer(
  services: Services,
  input: { readonly container: string; readonly output: OutputStream },
  signal: AbortSignal,
): Promise<void> {
  await using view = await openView(services, input.container, 'root', signal);
  const job = { kind: 'pack-tree', root: view.root, prefix: '', leaveOut: [], ids: view.ids } as const;
  await services.archives.pack(job, input.output, { signal: view.signal });
  publishContainerEvent(services.events, view.record, 'export');
}
