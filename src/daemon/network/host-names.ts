/**
 * Names of containers for the host: `NAME.NETWORK.berth.internal`, answered on the default bridge's gateway to the host
 * alone. Switched on and off by the user, remembered, and in force again after a start of the daemon and of the host.
 */
import { accessSync, constants } from 'node:fs';
import type { HostNames, HostNamesRequest } from '#api/types/berth-network.ts';
import { conflict, messageOf, unavailable } from '#errdefs/errors.ts';
import { HOST_DOMAIN } from '#networkdriver/dns/tables.ts';
import { commandOutcome } from '#pkg/command/command.ts';
import { log } from '#pkg/log/log.ts';
import type { Services } from '../services.ts';

type Wanted = Pick<Services, 'db' | 'bridge' | 'carryBridge' | 'names' | 'containers' | 'networks'>;

const KIND = 'daemon';
const DOCUMENT = 'host-names';
const RESOLVECTL = 'resolvectl';
const LIMIT_MS = 10_000;

interface Stored {
  readonly enabled: boolean;
  readonly resolver: boolean;
}

function stored({ db }: Pick<Services, 'db'>): Stored {
  const document = db.get(KIND, DOCUMENT);
  const value = (key: string): boolean =>
    typeof document === 'object' && document !== null && Reflect.get(document, key) === true;
  return { enabled: value('enabled'), resolver: value('resolver') };
}

export function hostNames(services: Wanted, warnings: readonly string[] = []): HostNames {
  const { enabled, resolver } = stored(services);
  return {
    Enabled: enabled,
    Resolver: resolver,
    Domain: HOST_DOMAIN,
    Address: services.bridge()?.gateway ?? '',
    Warnings: warnings.length === 0 ? null : [...warnings],
  };
}

/** Errors: conflict when there is no default bridge or the port is taken; unavailable without systemd-resolved. */
export async function setHostNames(services: Services, request: HostNamesRequest): Promise<HostNames> {
  if (!request.Enabled) return switchOff(services);
  const bridge = services.bridge();
  if (bridge === undefined) throw conflict('names for the host need the default bridge, which this daemon has not');
  const program = request.Manual ? undefined : findResolvectl();
  if (!request.Manual && program === undefined) {
    throw unavailable(
      `systemd-resolved is not here: with --manual names below ${HOST_DOMAIN} are answered at ${bridge.gateway}, port 53, and your resolver has to ask there`,
    );
  }
  const before = stored(services);
  serve(services, bridge.gateway);
  try {
    if (program !== undefined) {
      await services.carryBridge(true);
      await pointResolver(program, bridge);
    }
  } catch (error) {
    if (!before.enabled) await services.names.endHost();
    if (!before.resolver) await services.carryBridge(false);
    throw error;
  }
  services.db.put(KIND, DOCUMENT, { enabled: true, resolver: program !== undefined });
  if (program === undefined) await services.carryBridge(false);
  return hostNames(services);
}

async function switchOff(services: Services): Promise<HostNames> {
  const before = stored(services);
  const warnings: string[] = [];
  services.db.put(KIND, DOCUMENT, { enabled: false, resolver: false });
  await services.names.endHost();
  const [program, bridge] = [findResolvectl(), services.bridge()];
  if (before.resolver && program !== undefined && bridge !== undefined) {
    const { code, message } = await resolvectl(program, 'revert', bridge.name);
    if (code !== 0) warnings.push(`systemd-resolved may still ask ${bridge.gateway}: ${message.trim()}`);
  }
  await services.carryBridge(false);
  return hostNames(services, warnings);
}

/** At the start of the daemon, and when the bridge is another one than it was. A port that somebody has taken meanwhile must not keep it from starting. */
export async function restoreHostNames(services: Services): Promise<void> {
  const { enabled, resolver } = stored(services);
  const bridge = services.bridge();
  if (bridge === undefined) return;
  try {
    // Of a removal that was cut off, too.
    await services.carryBridge(enabled && resolver);
    if (!enabled) return;
    serve(services, bridge.gateway);
    const program = findResolvectl();
    if (resolver && program !== undefined) await pointResolver(program, bridge);
  } catch (err) {
    log.error('names of containers are not served to the host', { address: bridge.gateway, err });
  }
}

function serve(services: Services, gateway: string): void {
  try {
    services.names.serveHost(services, gateway);
  } catch (cause) {
    throw conflict(`Cannot serve names at ${gateway}, port 53: ${messageOf(cause)}`, { cause });
  }
}

function findResolvectl(): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(':').filter((one) => one.startsWith('/'))) {
    const file = `${directory}/${RESOLVECTL}`;
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // not there
    }
  }
  return undefined;
}

const resolvectl = (program: string, ...args: readonly string[]) =>
  commandOutcome({ program, args, timeoutMs: LIMIT_MS });

/** For names of our domain only, as long as the bridge is there. It is asked for nothing that has no carrier. */
async function pointResolver(program: string, bridge: { readonly name: string; readonly gateway: string }) {
  for (const args of [
    ['dns', bridge.name, bridge.gateway],
    ['domain', bridge.name, `~${HOST_DOMAIN}`],
  ]) {
    const { code, message } = await resolvectl(program, ...args);
    if (code === 0) continue;
    await resolvectl(program, 'revert', bridge.name);
    throw unavailable(`systemd-resolved does not ask ${bridge.gateway} for ${HOST_DOMAIN}: ${message.trim()}`);
  }
}
