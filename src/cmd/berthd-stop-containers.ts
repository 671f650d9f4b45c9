/** `berth daemon --stop-containers`: what contrib/berth-shutdown.service runs when the system goes down. */
import type { DaemonConfig } from '#config/daemon-config.ts';
import { unavailable } from '#errdefs/errors.ts';

/** Errors: unavailable when the daemon does not answer, or with its refusal. */
export async function stopContainers(config: Pick<DaemonConfig, 'hosts'>): Promise<void> {
  const host = config.hosts.find((h) => h.kind === 'unix');
  const unix = host?.kind === 'unix' ? host.path : '/run/berth.sock';
  let response: Response;
  try {
    response = await fetch('http://berth/berth/shutdown', { method: 'POST', unix });
  } catch (error) {
    throw unavailable(`Cannot reach the daemon at "unix://${unix}"`, { cause: error });
  }
  if (!response.ok) throw unavailable(`Cannot stop the containers: ${await response.text()}`);
}
