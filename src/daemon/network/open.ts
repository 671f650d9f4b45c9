/** Makes the drivers of the networks that are there from the start. */
import type { DaemonConfig } from '#config/daemon-config.ts';
import type { NetworkDriver } from '#networkdriver/driver.ts';
import { BridgeDriver, type BridgeFacts } from '#networkdriver/bridge.ts';
import { PlainDriver } from '#networkdriver/plain.ts';
import { networkIdOf, type NetworkName } from './names.ts';

export interface Networks {
  /** No bridge with `--bridge none`. */
  readonly drivers: ReadonlyMap<NetworkName, NetworkDriver>;
  /** The bridge as it is now; undefined without one. */
  readonly bridge: () => BridgeFacts | undefined;
}

export function openNetworks(options: {
  readonly config: Pick<DaemonConfig, 'bridge' | 'bip'>;
  readonly suffix: string | undefined;
}): Networks {
  const { config, suffix } = options;
  const drivers = new Map<NetworkName, NetworkDriver>([
    ['host', new PlainDriver('host', networkIdOf('host'))],
    ['none', new PlainDriver('none', networkIdOf('none'))],
  ]);
  if (config.bridge === 'none') return { drivers, bridge: () => undefined };
  const bridge = new BridgeDriver({
    networkId: networkIdOf('bridge'),
    bridge: config.bridge ?? (suffix === undefined ? 'berth0' : `berth-${suffix}`),
    given: config.bridge !== undefined,
    ...(config.bip === undefined ? {} : { bip: config.bip }),
    ...(suffix === undefined ? {} : { suffix }),
  });
  drivers.set('bridge', bridge);
  return { drivers, bridge: () => bridge.facts() };
}
