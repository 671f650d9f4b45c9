/** Where a container's output is kept. */
import * as path from 'node:path';
import type { ContainerRecord } from '#container/record.ts';
import { type LogTarget, logTarget } from '#logger/log-target.ts';

/** '' when there is no file. */
export function logPathOf(containersDirectory: string, record: Pick<ContainerRecord, 'id' | 'hostConfig'>): string {
  if (record.hostConfig.LogConfig.Type === 'none') return '';
  return path.join(containersDirectory, record.id, `${record.id}-json.log`);
}

export function logTargetOf(containersDirectory: string, record: ContainerRecord): LogTarget | undefined {
  const { Type: type, Config: options } = record.hostConfig.LogConfig;
  return logTarget({ type, options: options ?? {} }, logPathOf(containersDirectory, record), {
    containerId: record.id,
    containerName: record.name,
    imageId: record.imageId,
    imageName: record.config.Image,
    daemonName: 'berth',
    labels: record.config.Labels ?? {},
    env: record.config.Env ?? [],
  });
}
