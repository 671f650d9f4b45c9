/**
 * Configurations of networks (`network create --config-only`): records that make nothing on the host, and that networks
 * created `--config-from` take their addresses, options and labels of.
 */
import type { Ipam, NetworkCreateRequest } from '#api/types/network.ts';
import { forbidden, notFound } from '#errdefs/errors.ts';
import { PlainDriver } from '#networkdriver/plain.ts';
import type { NetworkRecord } from './record.ts';
import type { Networks } from './registry.ts';

/** What `docker network ls` shows as driver of a configuration. */
export const CONFIGURATION_DRIVER = 'null';

const sourceOf = ({ ConfigFrom: from }: NetworkCreateRequest): string => from?.Network ?? '';

/** Errors: forbidden, in Docker's words, for what a configuration cannot have or may not be mixed with. */
export function checkConfiguration(request: NetworkCreateRequest): void {
  const { ConfigOnly: configOnly, Ingress, Internal, Attachable, Scope } = request;
  if (configOnly && (Ingress || Internal || Attachable || Scope !== '')) {
    throw forbidden(
      'configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.',
    );
  }
  if (sourceOf(request) === '') return;
  if (configOnly) throw forbidden('a configuration network cannot depend on another configuration network');
  if (hasOwn(request)) {
    throw forbidden(
      'user specified configurations are not supported if the network depends on a configuration network',
    );
  }
  if (hasAny(request.Options)) {
    throw forbidden('network driver options are not supported if the network depends on a configuration network');
  }
}

const hasAny = (words: Readonly<Record<string, string>> | null): boolean => Object.keys(words ?? {}).length > 0;

function hasOwn({ IPAM: ipam, EnableIPv4, EnableIPv6, Labels }: NetworkCreateRequest): boolean {
  const { Driver: driver, Options, Config } = ipam;
  if (!['', 'default'].includes(driver) || hasAny(Options) || (Config ?? []).length > 0) return true;
  return EnableIPv6 || !EnableIPv4 || hasAny(Labels);
}

/** The request with what its configuration says. Errors: not-found. */
export function configured(networks: Networks, request: NetworkCreateRequest): NetworkCreateRequest {
  const name = sourceOf(request);
  if (name === '') return request;
  const record = networks.byName(name)?.record;
  if (record?.configOnly !== true) throw notFound(`configuration network "${name}" does not exist`);
  return {
    ...request,
    EnableIPv4: record.enableIPv4,
    EnableIPv6: record.enableIPv6,
    IPAM: record.ipam,
    Options: { ...record.options },
    Labels: { ...record.labels },
  };
}

/** Networks that were made of it; they keep it. */
export const isConfigurationInUse = (networks: Networks, { name, configOnly }: NetworkRecord): boolean =>
  configOnly === true && networks.all().some(({ record }) => record.configFrom === name);

/** A network that nobody can be on. */
export class ConfigurationDriver extends PlainDriver {
  constructor(networkId: string) {
    super('none', networkId);
  }

  override allocate(): Promise<never> {
    return Promise.reject(forbidden('cannot create endpoint on configuration-only network'));
  }
}

/** As the user wrote it; the addresses that are left open are chosen by each network. */
export const storedIpam = (ipam: Ipam): Ipam => ({
  ...ipam,
  Driver: ipam.Driver === '' ? 'default' : ipam.Driver,
  Config: (ipam.Config ?? []).length === 0 ? null : ipam.Config,
});
