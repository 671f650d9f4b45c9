/** Options of bridge networks, by Docker's names: what each must be. */
import { isIPv4, isIPv6 } from 'node:net';
import { checkInterfaceName } from '#container/endpoint-options.ts';
import { checkNetworkPolicy, EGRESS, PUBLISH_POLICY, SPOOF_PROTECTION } from '#container/network-policy.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { GatewayMode } from '#networkdriver/bridge-options.ts';

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
  inhibitIpv4: `${PREFIX}.bridge.inhibit_ipv4`,
  trusted: `${PREFIX}.bridge.trusted_host_interfaces`,
  hostIpv4: `${PREFIX}.host_ipv4`,
  hostIpv6: `${PREFIX}.host_ipv6`,
  enableIpv4: `${PREFIX}.enable_ipv4`,
  enableIpv6: `${PREFIX}.enable_ipv6`,
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

const gatewayModes: readonly GatewayMode[] = ['nat', 'nat-unprotected', 'routed', 'isolated'];

/** Preconditions: checked. */
export function gatewayMode(options: Options, key: string): GatewayMode {
  return gatewayModes.find((mode) => mode === options[key]) ?? 'nat';
}

/** What options of any network mean, and what is wrong with a value; a network of any driver may have them. */
const commonChecks: Readonly<Record<string, readonly [want: string, fits: (value: string) => boolean]>> = {
  [OPTION.mtu]: ['68 to 65535', (value) => /^\d+$/.test(value) && Number(value) >= 68 && Number(value) <= 65_535],
  [OPTION.enableIpv4]: ['true or false', (value) => truths[value] !== undefined],
  [OPTION.enableIpv6]: ['true or false', (value) => truths[value] !== undefined],
};

const bridgeChecks: typeof commonChecks = {
  [OPTION.name]: ['a link name of at most 15 characters', (value) => /^[a-zA-Z0-9_.-]{1,15}$/.test(value)],
  [OPTION.interContainer]: ['true or false', (value) => truths[value] !== undefined],
  [OPTION.masquerade]: ['true or false', (value) => truths[value] !== undefined],
  [OPTION.defaultBridge]: ['true or false', (value) => truths[value] !== undefined],
  [OPTION.inhibitIpv4]: ['true or false', (value) => truths[value] !== undefined],
  [OPTION.hostBinding]: ['an IPv4 address', isIPv4],
  [OPTION.hostIpv4]: ['an IPv4 address', isIPv4],
  [OPTION.hostIpv6]: ['an IPv6 address', isIPv6],
  [OPTION.gatewayMode4]: [gatewayModes.join(', '), (value) => gatewayModes.some((mode) => mode === value)],
  [OPTION.gatewayMode6]: [gatewayModes.join(', '), (value) => gatewayModes.some((mode) => mode === value)],
  [OPTION.trusted]: [
    'link names with colons between them',
    (value) => value.split(':').every((link) => /^[a-zA-Z0-9_.-]{1,15}$/.test(link)),
  ],
};

/** Errors: invalid-parameter naming the option and its value. */
export function checkBridgeOptions(options: Options, internal: boolean): void {
  checkNetworkPolicy(options, 'network option');
  for (const [key, value] of Object.entries(options)) {
    checkOption(key, value, bridgeChecks[key]);
    // Docker's bridge driver ignores what it does not know, labels of other tools among it.
    const strange = key.startsWith(`${PREFIX}.bridge.`) && bridgeChecks[key] === undefined;
    if (strange || (key.startsWith('berth.') && !OWN.includes(key))) {
      throw invalidParameter(`unknown network option "${key}"`);
    }
    if ([OPTION.gatewayMode4, OPTION.gatewayMode6].some((mode) => mode === key) && value === 'isolated' && !internal) {
      throw invalidParameter(`network option "${key}": mode "isolated" is for internal networks only`);
    }
  }
}

/** Those that are for every driver. Errors: invalid-parameter. */
export function checkCommonOptions(options: Options): void {
  for (const [key, value] of Object.entries(options)) checkOption(key, value, undefined);
}

function checkOption(key: string, value: string, own: (typeof commonChecks)[string] | undefined): void {
  if (key === OPTION.containerPrefix) checkInterfaceName(key, `${value}0`);
  const check = own ?? commonChecks[key];
  if (check === undefined || check[1](value)) return;
  throw invalidParameter(`invalid value for network option "${key}": "${value}": want ${check[0]}`);
}
