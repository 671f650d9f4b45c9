import { describe, expect, test } from 'bun:test';
import { messageOf } from '#errdefs/errors.ts';
import { buildConfig, parseConfigFile } from './daemon-config.ts';
import { parseDaemonFlags } from './flags.ts';
import { keySpecs } from './keys.ts';
import { plainFlags } from './flags.ts';

const config = (file: object, argv: readonly string[] = []) =>
  buildConfig(parseDaemonFlags(argv).values, parseConfigFile(JSON.stringify(file)));

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return messageOf(error);
  }
  return 'not refused';
}

/** `dockerd --help` of 28.5.2. */
const DOCKERD_FLAGS = `add-runtime allow-direct-routing authorization-plugin bip bip6 bridge cdi-spec-dir cgroup-parent
config-file containerd containerd-namespace containerd-plugins-namespace cpu-rt-period cpu-rt-runtime cri-containerd
data-root debug default-address-pool default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode
default-network-opt default-runtime default-shm-size default-ulimit dns dns-opt dns-search exec-opt exec-root
experimental feature fixed-cidr fixed-cidr-v6 group help host host-gateway-ip http-proxy https-proxy icc init init-path
insecure-registry ip ip-forward ip-forward-no-drop ip-masq ip6tables iptables ipv6 label live-restore log-driver
log-format log-level log-opt max-concurrent-downloads max-concurrent-uploads max-download-attempts metrics-addr mtu
network-control-plane-mtu no-new-privileges no-proxy node-generic-resource pidfile raw-logs registry-mirror rootless
seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opt swarm-default-advertise-addr tls tlscacert
tlscert tlskey tlsverify userland-proxy userland-proxy-path userns-remap validate version`;

/** The keys that dockerd 29 reads from daemon.json; 28.5.2 lacks the last line. */
const DOCKERD_KEYS = `allow-direct-routing authorization-plugins bip bip6 bridge builder cdi-spec-dirs cgroup-parent
containerd containerd-namespace containerd-plugin-namespace cpu-rt-period cpu-rt-runtime cri-containerd data-root debug
default-address-pools default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode default-network-opts
default-runtime default-shm-size default-ulimits dns dns-opts dns-search exec-opts exec-root experimental features
fixed-cidr fixed-cidr-v6 group host-gateway-ip host-gateway-ips hosts http-proxy https-proxy icc init init-path
insecure-registries ip ip-forward ip-forward-no-drop ip-masq iptables ip6tables ipv6 labels live-restore log-driver
log-format log-level log-opts max-concurrent-downloads max-concurrent-uploads max-download-attempts metrics-addr mtu
network-control-plane-mtu network-diagnostic-port no-new-privileges no-proxy node-generic-resources pidfile proxies
raw-logs registry-mirrors rootless runtimes seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opts
swarm-default-advertise-addr swarm-raft-election-tick swarm-raft-heartbeat-tick tls tlscacert tlscert tlskey tlsverify
userland-proxy userland-proxy-path userns-remap
bridge-accept-fwmark default-stop-timeout firewall-backend min-api-version nri-opts resolv-conf`;

const words = (text: string) => text.split(/\s+/);

describe('dockerd configurations', () => {
  test('every flag and every key of dockerd is known by its name', () => {
    const flags = new Set<string | undefined>([...keySpecs.map((s) => s.flag), ...plainFlags.map((f) => f.flag)]);
    expect(words(DOCKERD_FLAGS).filter((flag) => !flags.has(flag))).toEqual([]);
    const keys = new Set(keySpecs.map((spec) => spec.key));
    expect(words(DOCKERD_KEYS).filter((key) => !keys.has(key))).toEqual([]);
  });

  test('what is commonly found in /etc/docker/daemon.json is taken', () => {
    const { engine, withoutEffect } = config({
      'exec-opts': ['native.cgroupdriver=systemd'],
      'log-driver': 'json-file',
      'log-opts': { 'max-size': '100m' },
      'storage-driver': 'overlay2',
      features: { buildkit: true, 'containerd-snapshotter': true, cdi: true },
      experimental: true,
      'live-restore': true,
      'userland-proxy': false,
      'node-generic-resources': ['NVIDIA-GPU=UUID1'],
      'log-format': 'text',
      'min-api-version': '1.40',
    });
    expect(engine).toMatchObject({ cgroupDriver: 'systemd', experimental: true, logFormat: 'text', minApiMinor: 40 });
    expect(withoutEffect.map(({ key }) => key)).toEqual([
      'live-restore',
      'node-generic-resources',
      'userland-proxy',
      'features: containerd-snapshotter',
    ]);
  });

  test('features by flag; without CDI there are no places of specifications', () => {
    const { engine, containerDefaults } = config({}, ['--feature', 'cdi=false', '--feature', 'buildkit=true']);
    expect([engine.cdi, engine.buildkit, containerDefaults.cdiSpecDirs]).toEqual([false, true, []]);
    expect(config({}).containerDefaults.cdiSpecDirs.length).toBe(2);
  });

  for (const [file, words] of [
    [{ 'exec-opts': ['x=y'] }, "invalid exec-opt (x=y): unknown option: 'x'"],
    [{ 'exec-opts': ['x'] }, "invalid exec-opt (x): must be formatted 'opt=value'"],
    [{ 'exec-opts': ['native.cgroupdriver=x'] }, 'want cgroupfs or systemd'],
    [{ 'log-format': 'x' }, 'invalid log format: x'],
    [{ 'min-api-version': 'v1.40' }, 'without "v" prefix'],
    [{ 'min-api-version': '1.10' }, 'the minimum supported API version is 1.24'],
    [{ 'min-api-version': '1.99' }, 'the maximum supported API version is 1.51'],
    [{ 'min-api-version': '2' }, 'want 1.NN'],
    [{ features: { buildkit: 'x' } }, 'buildkit: must be true or false'],
    [{ features: { nosuch: true } }, 'unknown feature "nosuch"'],
    [{ features: { 'time-namespaces': true } }, 'Cannot honour "features" with time-namespaces'],
  ] as const) {
    test(`${JSON.stringify(file)} is refused`, () => {
      expect(refusal(() => config(file))).toContain(words);
    });
  }
});
