/** Options of bridge networks, by Docker's names: what each must be. */
import { checkNetworkPolicy, EGRESS, PUBLISH_POLICY, SPOOF_PROTECTION } from '#container/network-policy.ts';
import { invalidParameter, notImplemented } from '#errdefs/errors.ts';

const PREFIX = 'com.docker.network';
export const OPTION = {
  name: `${PREFIX}.bridge.name`,
  interContainer: `${PREFIX}.bridge.enable_icc`,
  masquerade: `${PREFIX}.bridge.enable_ip_masquerade`,
  hostBinding: `${PREFIX}.bridge.host_binding_ipv4`,
  mtu: `${PREFIX}.driver.mtu`,
  gatewayMode4: `${PREFIX}.bridge.gateway_mode_ipv4`,
  gatewayMode6: `${PREFIX}.bridge.gateway_mode_ipv6`,
  defaultBridge: `${PREFIX}.bridge.default_bridge`,
  containerPrefix: `${PREFIX}.container_iface_prefix`,
} as const;

/** Ours, beyond Docker's. */
const OWN: readonly string[] = [PUBLISH_POLICY, SPOOF_PROTECTION, ...Object.values(EGRESS)];

type Options = Readonly<Record<string, string>>;

const truths: Readonly<Record<string, boolean>> = {
  ...Object.fromEntries(['1', 't', 'T', 'true', 'TRUE', 'True'].map((word) => [word, true])),
  ...Object.fromEntries(['0', 'f', 'F', 'false', 'FALSE', 'False'].map((word) => [word, false])),
};

/** As Go's ParseBool. Preconditions: checked. */
export function flagOption(options: Options, key: string, absent: boolean): boolean {
  const value = options[key];
  return value === undefined ? absent : (truths[value] ?? absent);
}

/** `br-` and the first digits of the id, as with Docker. */
export function bridgeNameOf(record: { readonly id: string; readonly options: Options }): string {
  return record.options[OPTION.name] ?? `br-${record.id.slice(0, 12)}`;
}

/** Errors: invalid-parameter naming the option and its value; not-implemented for what is not there. */
export function checkBridgeOptions(options: Options): void {
  for (const [key, value] of Object.entries(options)) checkOption(key, value);
  checkNetworkPolicy(options, 'network option');
}

function checkOption(key: string, value: string): void {
  const bad = (want: string) => invalidParameter(`invalid value for network option "${key}": "${value}": want ${want}`);
  switch (key) {
    case OPTION.name:
      if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(value)) throw bad('a link name of at most 15 characters');
      return;
    case OPTION.interContainer:
    case OPTION.masquerade:
    case OPTION.defaultBridge:
      if (truths[value] === undefined) throw bad('true or false');
      return;
    case OPTION.hostBinding:
      if (!/^\d+\.\d+\.\d+\.\d+$/.test(value)) throw bad('an IPv4 address');
      return;
    case OPTION.mtu:
      if (!/^\d+$/.test(value) || Number(value) < 68 || Number(value) > 65_535) throw bad('68 to 65535');
      return;
    case OPTION.gatewayMode4:
    case OPTION.gatewayMode6:
      if (value !== 'nat') throw notImplemented(`network option "${key}": mode "${value}" is not supported yet`);
      return;
    case OPTION.containerPrefix:
      throw notImplemented(`network option "${key}" is not supported yet`);
    default:
      if (key.startsWith('berth.') && !OWN.includes(key)) throw invalidParameter(`unknown network option "${key}"`);
      // Docker's bridge driver ignores what it does not know, labels of other tools among it.
      if (key.startsWith(`${PREFIX}.bridge.`)) throw invalidParameter(`unknown network option "${key}"`);
  }
}
