/** Endpoints of Berth's own on images. */
import type {
  AutoUpdateResult,
  ImageDifference,
  ImagePlan,
  ImageTreeLayer,
  OutdatedImage,
  RestoredImages,
  TrashedImages,
} from '#api/types/image-upkeep.ts';
import { type ApiClient, encodeFilters } from './api-client.ts';
import type { FilterMap } from './containers.ts';

export function planImages(client: ApiClient, filters: FilterMap): Promise<ImagePlan> {
  return client.json('GET', '/berth/images/plan', { query: { filters: encodeFilters(filters) } });
}

export function planBudget(client: ApiClient): Promise<ImagePlan> {
  return client.json('GET', '/berth/images/plan', { query: { budget: true } });
}

export function enforceBudget(client: ApiClient): Promise<ImagePlan> {
  return client.json('POST', '/berth/images/budget');
}

export function lockImage(client: ApiClient, image: string, locked: boolean): Promise<void> {
  return client.call('POST', `/berth/images/${locked ? 'lock' : 'unlock'}`, { query: { image } });
}

export function listTrash(client: ApiClient): Promise<TrashedImages[]> {
  return client.json('GET', '/berth/images/trash');
}

export function emptyTrash(client: ApiClient): Promise<{ Removals: number }> {
  return client.json('DELETE', '/berth/images/trash');
}

export function undoRemoval(client: ApiClient, image: string): Promise<RestoredImages> {
  return client.json('POST', '/berth/images/undo', { query: { image } });
}

export function treeOfImages(client: ApiClient, image: string): Promise<ImageTreeLayer[]> {
  return client.json('GET', '/berth/images/tree', { query: { image } });
}

export function diffOfImages(client: ApiClient, from: string, to: string): Promise<ImageDifference> {
  return client.json('GET', '/berth/images/diff', { query: { from, to } });
}

type Headers = Readonly<Record<string, string>>;

export function outdatedImages(
  client: ApiClient,
  images: readonly string[],
  headers: Headers,
): Promise<OutdatedImage[]> {
  return client.json('GET', '/berth/images/outdated', { query: { image: images }, headers });
}

export function autoUpdate(
  client: ApiClient,
  o: {
    readonly dryRun: boolean;
    readonly settleSeconds: number;
    readonly healthySeconds: number;
    /** X-Registry-Config. */
    readonly headers: Headers;
  },
): Promise<AutoUpdateResult[]> {
  const query = { 'dry-run': o.dryRun, settle: o.settleSeconds, healthy: o.healthySeconds };
  return client.json('POST', '/berth/images/auto-update', { query, headers: o.headers });
}
