/** Where a container's own files are. */
import * as path from 'node:path';
import type { Services } from '../services.ts';

export function containersDirectory(services: Pick<Services, 'settings'>): string {
  return path.join(services.settings.dataRoot, 'containers');
}

export function containerDirectory(services: Pick<Services, 'settings'>, id: string): string {
  return path.join(containersDirectory(services), id);
}
