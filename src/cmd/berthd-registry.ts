/**
 * The registry that the daemon serves when daemon.json has `registry`: the server of `berth registry serve`, whole, on a
 * Worker of its own, so that hashing an upload never keeps an API call waiting. Nothing of it is loaded otherwise.
 */
import * as path from 'node:path';
import type { DaemonConfig } from '#config/daemon-config.ts';
import { invalidParameter, messageOf } from '#errdefs/errors.ts';
import type { RegistryConfig } from '#registryserver/config.ts';

/** Errors: invalid-parameter naming the option. */
export async function checkRegistry(config: DaemonConfig): Promise<void> {
  await configOf(config);
}

/** Errors: as the server's start. */
export async function openRegistry(config: DaemonConfig): Promise<AsyncDisposable | undefined> {
  const wanted = await configOf(config);
  if (wanted === undefined) return undefined;
  const { RegistryThread } = await import('#registryserver/registry-thread.ts');
  return RegistryThread.start(wanted);
}

async function configOf({ registry, dataRoot }: DaemonConfig): Promise<RegistryConfig | undefined> {
  if (registry === undefined) return undefined;
  const { registryConfigOf } = await import('#registryserver/config.ts');
  try {
    return registryConfigOf(registry, path.join(dataRoot, 'registry'));
  } catch (cause) {
    throw invalidParameter(`invalid value for "registry": ${messageOf(cause)}`, { cause });
  }
}
