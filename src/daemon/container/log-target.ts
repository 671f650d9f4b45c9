/** Where a container's output is kept. */
import * as path from 'node:path';
import type { ContainerRecord } from '#container/record.ts';
import { logFileName, type LogTarget, logTarget } from '#logger/log-target.ts';

/** As clients may know it: that of json-file, which is a format of everybody. '' for any other driver, as in dockerd. */
export function logPathOf(containersDirectory: string, record: Pick<ContainerRecord, 'id' | 'hostConfig'>): string {
  const { Type: type } = record.hostConfig.LogConfig;
  if (type !== 'json-file' && type !== '') return '';
  return path.join(containersDirectory, record.id, logFileName(type, record.id));
}

export function logTargetOf(containersDirectory: string, record: ContainerRecord): LogTarget | undefined {
  const { Type: type, Config: options } = record.hostConfig.LogConfig;
  return logTarget({ type, options: options ?? {} }, path.join(containersDirectory, record.id), {
    containerId: record.id,
    containerName: record.name,
    imageId: record.imageId,
    imageName: record.config.Image,
    // What tags say of dockerd: filters in people's syslog daemons look for it.
    daemonName: 'docker',
    labels: record.config.Labels ?? {},
    env: record.config.Env ?? [],
    command: [record.path, ...record.args],
    createdAt: record.createdAt,
  });
}
