/**
 * dockerd's daemon.json keys as data: what each wants, which flag says the same, and what we do with it. A key that
 * would change something that is not built is refused unless its value is what is in force anyway, so that no
 * configuration is believed to work that does not.
 */

export type KeyType = 'text' | 'flag' | 'integer' | 'size' | 'texts' | 'text-map' | 'objects' | 'object';

export type Treatment =
  | { readonly kind: 'honoured' }
  /** Accepted, changes nothing. */
  | { readonly kind: 'no-effect'; readonly reason: string }
  /** Refused unless it has one of these values. */
  | { readonly kind: 'not-yet'; readonly inForce: readonly unknown[] };

export interface KeySpec {
  readonly key: string;
  readonly type: KeyType;
  /** The long flag without dashes; absent: file only. */
  readonly flag?: string;
  readonly short?: string;
  readonly treatment: Treatment;
  /** Reread at SIGHUP. */
  readonly reload?: true;
}

const honoured: Treatment = { kind: 'honoured' };
const noEffect = (reason: string): Treatment => ({ kind: 'no-effect', reason });
const notYet = (...inForce: readonly unknown[]): Treatment => ({ kind: 'not-yet', inForce });

type Extra = Pick<KeySpec, 'flag' | 'short' | 'reload'>;

function key(name: string, type: KeyType, treatment: Treatment, extra: Extra = {}): KeySpec {
  return { key: name, type, treatment, ...extra };
}

/** The same name as a flag. */
function both(name: string, type: KeyType, treatment: Treatment, extra: Extra = {}): KeySpec {
  return { key: name, type, treatment, flag: name, ...extra };
}

const ALWAYS_ON = 'containers always go on while the daemon is away';
const NO_PROXY = 'ports are published without a proxy process';
const OWN_RUNTIME = 'there is no containerd';

export const keySpecs: readonly KeySpec[] = [
  both('allow-direct-routing', 'flag', honoured),
  key('authorization-plugins', 'texts', honoured, { flag: 'authorization-plugin', reload: true }),
  both('bip', 'text', honoured),
  both('bip6', 'text', honoured),
  both('bridge', 'text', honoured, { short: 'b' }),
  both('bridge-accept-fwmark', 'text', honoured),
  key('builder', 'object', honoured, { reload: true }),
  key('cdi-spec-dirs', 'texts', honoured, { flag: 'cdi-spec-dir' }),
  both('cgroup-parent', 'text', honoured),
  both('containerd', 'text', noEffect(OWN_RUNTIME)),
  both('containerd-namespace', 'text', noEffect(OWN_RUNTIME)),
  key('containerd-plugin-namespace', 'text', noEffect(OWN_RUNTIME), { flag: 'containerd-plugins-namespace' }),
  both('cpu-rt-period', 'integer', honoured),
  both('cpu-rt-runtime', 'integer', honoured),
  both('cri-containerd', 'flag', notYet(false)),
  both('data-root', 'text', honoured),
  both('debug', 'flag', honoured, { short: 'D', reload: true }),
  key('default-address-pools', 'objects', honoured, { flag: 'default-address-pool' }),
  both('default-cgroupns-mode', 'text', honoured, { reload: true }),
  both('default-gateway', 'text', honoured),
  both('default-gateway-v6', 'text', honoured),
  both('default-ipc-mode', 'text', honoured, { reload: true }),
  key('default-network-opts', 'object', honoured, { flag: 'default-network-opt' }),
  both('default-runtime', 'text', honoured, { reload: true }),
  both('default-shm-size', 'size', honoured, { reload: true }),
  both('default-stop-timeout', 'integer', honoured),
  key('default-ulimits', 'object', honoured, { flag: 'default-ulimit' }),
  both('dns', 'texts', honoured),
  key('dns-opts', 'texts', honoured, { flag: 'dns-opt' }),
  both('dns-search', 'texts', honoured),
  key('exec-opts', 'texts', honoured, { flag: 'exec-opt' }),
  both('exec-root', 'text', honoured),
  both('experimental', 'flag', honoured),
  key('features', 'object', honoured, { flag: 'feature' }),
  both('firewall-backend', 'text', notYet('', 'nftables')),
  both('fixed-cidr', 'text', honoured),
  both('fixed-cidr-v6', 'text', honoured),
  both('group', 'text', honoured, { short: 'G' }),
  both('host-gateway-ip', 'text', honoured),
  key('host-gateway-ips', 'texts', honoured),
  key('hosts', 'texts', honoured, { flag: 'host', short: 'H' }),
  both('http-proxy', 'text', honoured),
  both('https-proxy', 'text', honoured),
  both('icc', 'flag', honoured),
  // Ours: how images are kept, named and trusted; docs/images.md.
  key('images', 'object', honoured, { reload: true }),
  both('init', 'flag', honoured),
  both('init-path', 'text', honoured),
  key('insecure-registries', 'texts', honoured, { flag: 'insecure-registry', reload: true }),
  both('ip', 'text', honoured),
  both('ip-forward', 'flag', honoured),
  both('ip-forward-no-drop', 'flag', noEffect('packets that are not of containers are never dropped')),
  both('ip-masq', 'flag', honoured),
  both('iptables', 'flag', honoured),
  both('ip6tables', 'flag', honoured),
  both('ipv6', 'flag', honoured),
  key('labels', 'texts', honoured, { flag: 'label', reload: true }),
  both('live-restore', 'flag', noEffect(ALWAYS_ON), { reload: true }),
  key('log-archive', 'object', honoured, { flag: 'log-archive', reload: true }),
  both('log-driver', 'text', honoured),
  both('log-format', 'text', honoured),
  both('log-level', 'text', honoured, { short: 'l' }),
  key('log-opts', 'text-map', honoured, { flag: 'log-opt' }),
  both('max-concurrent-downloads', 'integer', honoured, { reload: true }),
  both('max-concurrent-uploads', 'integer', honoured, { reload: true }),
  both('max-download-attempts', 'integer', honoured, { reload: true }),
  both('metrics-addr', 'text', honoured),
  key('min-api-version', 'text', honoured),
  both('mtu', 'integer', honoured),
  both('network-control-plane-mtu', 'integer', noEffect('there is no swarm')),
  both('network-diagnostic-port', 'integer', noEffect('there is no swarm')),
  both('no-new-privileges', 'flag', honoured),
  both('no-proxy', 'text', honoured),
  key('node-generic-resources', 'texts', noEffect('there is no swarm'), { flag: 'node-generic-resource' }),
  key('nri-opts', 'object', notYet({}, { enable: false }), { flag: 'nri-opt' }),
  both('pidfile', 'text', honoured, { short: 'p' }),
  key('proxies', 'object', honoured),
  // Ours: whether published ports must pass the host's own firewall.
  both('publish-policy', 'text', honoured),
  both('raw-logs', 'flag', noEffect('the log is JSON lines without colours')),
  key('registry', 'object', honoured),
  // Ours: where certs.d of registries lies, the first that has the registry decides.
  key('registry-certs-dirs', 'texts', honoured, { flag: 'registry-certs-dir', reload: true }),
  key('registry-mirrors', 'texts', honoured, { flag: 'registry-mirror', reload: true }),
  key('resolv-conf', 'text', honoured),
  both('rootless', 'flag', notYet(false)),
  key('runtimes', 'object', honoured, { flag: 'add-runtime', reload: true }),
  both('seccomp-profile', 'text', honoured),
  both('selinux-enabled', 'flag', notYet(false)),
  both('shutdown-timeout', 'integer', noEffect(ALWAYS_ON), { reload: true }),
  both('storage-driver', 'text', honoured, { short: 's' }),
  key('storage-opts', 'texts', honoured, { flag: 'storage-opt' }),
  both('swarm-default-advertise-addr', 'text', noEffect('there is no swarm')),
  key('swarm-raft-election-tick', 'integer', noEffect('there is no swarm')),
  key('swarm-raft-heartbeat-tick', 'integer', noEffect('there is no swarm')),
  both('tls', 'flag', honoured),
  both('tlscacert', 'text', honoured),
  both('tlscert', 'text', honoured),
  both('tlskey', 'text', honoured),
  both('tlsverify', 'flag', honoured),
  both('userland-proxy', 'flag', noEffect(NO_PROXY)),
  both('userland-proxy-path', 'text', noEffect(NO_PROXY)),
  // Ours: where `--userns auto` takes ranges of ids from.
  both('userns-pool', 'text', honoured),
  both('userns-remap', 'text', honoured),
];

export const specOfKey: ReadonlyMap<string, KeySpec> = new Map(keySpecs.map((spec) => [spec.key, spec]));
