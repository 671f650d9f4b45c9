/**
 * Containers with podman's label io.containers.autoupdate follow their image: `registry` (or `image`) what its name
 * stands for in the registry, `local` what it means on this host. One after the other, each watched and put back when the
 * new one does not do; an image whose container was put back is given its old meaning again.
 */
import { imagePull } from '#api/jobs/image.ts';
import type { AutoUpdateInput } from '#api/jobs/image-upkeep.ts';
import type { AutoUpdateResult } from '#api/types/image-upkeep.ts';
import type { ContainerRecord } from '#container/record.ts';
import { isRunningOrRestarting } from '#container/state.ts';
import type { Caller } from '#engine/engine.ts';
import { kindOf, messageOf, systemError } from '#errdefs/errors.ts';
import { familiarName, familiarString, parseReference, type Reference, withDefaultTag } from '#reference/reference.ts';
import type { Services } from '../services.ts';
import { authOf, outdatedImages } from './remote.ts';
import { replaceContainer } from './replace.ts';

const LABEL = 'io.containers.autoupdate';
const caller: Caller = { source: 'auto-update' };

/** Errors: invalid-parameter. What goes wrong with one container is told in its row. */
export async function autoUpdate(
  services: Services,
  input: AutoUpdateInput,
  signal: AbortSignal,
): Promise<AutoUpdateResult[]> {
  const rows: AutoUpdateResult[] = [];
  // What a name meant before this run: a pull for one container serves the others too.
  const before = new Map<string, { readonly id: string; readonly target: string | undefined } | undefined>();
  for (const record of services.containers.all()) {
    const policy = record.config.Labels?.[LABEL] ?? '';
    if (policy === '' || policy === 'disabled' || !isRunningOrRestarting(record.state)) continue;
    if (signal.aborted) break;
    const row: AutoUpdateResult = {
      Container: record.name,
      ContainerId: record.id,
      Image: record.config.Image,
      Policy: policy,
      Updated: 'false',
      Error: '',
    };
    try {
      rows.push(await updateOne(services, record, row, { input, before, signal }));
    } catch (error) {
      rows.push({ ...row, Updated: 'failed', Error: messageOf(error) });
    }
  }
  return rows;
}

interface Run {
  readonly input: AutoUpdateInput;
  readonly before: Map<string, { readonly id: string; readonly target: string | undefined } | undefined>;
  readonly signal: AbortSignal;
}

async function updateOne(
  services: Services,
  record: ContainerRecord,
  row: AutoUpdateResult,
  { input, before, signal }: Run,
): Promise<AutoUpdateResult> {
  const { images } = services;
  if (!['registry', 'image', 'local'].includes(row.Policy))
    throw systemError(`unknown policy "${row.Policy}" of ${LABEL}`);
  if (record.hostConfig.AutoRemove) throw systemError('a container that is removed when it ends cannot be put back');
  const reference = nameOf(record);
  const name = familiarString(reference);
  if (row.Policy !== 'local' && !before.has(name)) {
    const [found] = await outdatedImages(services, [name], input.auths, signal);
    if (found?.Status === 'unknown') throw systemError(found.Error);
    if (found?.Status === 'outdated') {
      if (input.dryRun) return { ...row, Updated: 'pending' };
      const id = images.lookup(reference);
      before.set(name, id === undefined ? undefined : { id, target: images.target(reference) });
      await pull(services, reference, authOf(input.auths)(reference), signal);
    }
  }
  const id = images.lookup(reference);
  if (id === undefined || id === record.imageId) return row;
  if (input.dryRun) return { ...row, Updated: 'pending' };
  try {
    const { settleMs, healthyMs } = input;
    const made = await replaceContainer(services, record.id, { settleMs, healthyMs, signal });
    return { ...row, ContainerId: made, Updated: 'true' };
  } catch (error) {
    // The name means again what the container that is back was made of.
    const old = before.get(name);
    if (row.Policy !== 'local' && images.has(record.imageId)) images.tag(record.imageId, reference, old?.target);
    return { ...row, Updated: 'rolled back', Error: messageOf(error) };
  }
}

/** Errors: system for a container whose image is no name that can move. */
function nameOf(record: ContainerRecord): Reference {
  try {
    const reference = withDefaultTag(parseReference(record.config.Image));
    if (reference.digest === undefined) return reference;
  } catch (error) {
    if (kindOf(error) !== 'invalid-parameter') throw error;
  }
  throw systemError(`its image "${record.config.Image}" is no name with a tag`);
}

async function pull(services: Services, reference: Reference, auth: string, signal: AbortSignal): Promise<void> {
  const progress = { write: async () => undefined, flush: () => undefined, closed: signal };
  const input = { image: familiarName(reference), tag: reference.tag ?? 'latest', platform: '', auth, progress };
  await services.engine.run(imagePull, input, { caller, signal });
}
