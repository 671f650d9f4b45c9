/** macvlan and ipvlan, IPv6-only networks, gateway modes, options of endpoints: by the stock docker CLI. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import * as fs from 'node:fs';
import { eventually, must as command } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';

setDefaultTimeout(120_000);

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
/** A pair of links of the host: one end is a parent, the other its wire. */
const PARENT = `btp${process.pid % 100_000}`;
const WIRE = `btw${process.pid % 100_000}`;

beforeAll(async () => {
  await command('ip', ['link', 'add', PARENT, 'up', 'type', 'veth', 'peer', 'name', WIRE]);
  await command('ip', ['link', 'set', WIRE, 'up']);
  d = await TestDaemon.start();
});
afterAll(async () => {
  try {
    await d[Symbol.asyncDispose]();
  } finally {
    await command('ip', ['link', 'del', PARENT]);
  }
});

const docker = (...args: string[]) => d.docker(args);
const must = (...args: string[]) => d.must(args);
const inspect = async (name: string, format: string) => must('inspect', '-f', format, name);
const refusal = async (code: number, words: string, ...args: string[]): Promise<void> => {
  const refused = await docker(...args);
  expect(refused.code).toBe(code);
  expect(refused.stderr).toContain(words);
};
const linksOf = () => fs.readdirSync('/sys/class/net');

test('macvlan: containers are machines of the parent’s network, live connect and disconnect included', async () => {
  await must('network', 'create', '-d', 'macvlan', '--subnet', '10.214.1.0/24', '-o', `parent=${PARENT}`, 'mac');
  expect(await must('network', 'inspect', '-f', '{{.Driver}} {{json .Options}}', 'mac')).toBe(
    `macvlan {"parent":"${PARENT}"}`,
  );
  await must(
    'run',
    '-d',
    '--name',
    'm1',
    '--network',
    'mac',
    '--mac-address',
    '02:aa:00:00:01:01',
    IMG,
    'sleep',
    '1000',
  );
  const ip = await inspect('m1', '{{.NetworkSettings.Networks.mac.IPAddress}}');
  expect(await must('exec', 'm1', 'ip', 'addr', 'show', 'eth0')).toMatch(
    /eth0@if\d+: [\s\S]*link\/ether 02:aa:00:00:01:01[\s\S]*inet 10\.214\.1\.2\/24 /,
  );
  expect(await must('exec', 'm1', 'ip', 'route')).toContain('default via 10.214.1.1 dev eth0');
  await must('run', '-d', '--name', 'm2', IMG, 'sleep', '1000');
  await must('network', 'connect', '--alias', 'second', 'mac', 'm2');
  expect(await must('exec', 'm2', 'ping', '-c', '1', '-W', '3', ip)).toContain('1 packets received');
  expect(await must('exec', 'm1', 'ping', '-c', '1', '-W', '3', 'second')).toContain('1 packets received');
  await must('network', 'disconnect', 'mac', 'm2');
  expect(await must('exec', 'm2', 'ls', '/sys/class/net')).toBe('eth0\nlo');
  await d.restart();
  expect(await must('run', '--rm', '--network', 'mac', IMG, 'ping', '-c', '1', '-W', '3', ip)).toContain(
    '1 packets received',
  );
  await must('rm', '-f', 'm1', 'm2');
  // A parent of the user's stays.
  await must('network', 'rm', 'mac');
  await eventually('the network is gone', async () => (await docker('network', 'inspect', 'mac')).code !== 0);
  expect(linksOf()).toContain(PARENT);
});

test('macvlan without a parent leads nowhere, and its own link goes with it', async () => {
  const id = await must('network', 'create', '-d', 'macvlan', '--internal', '--subnet', '10.214.2.0/24', 'alone');
  const own = `dm-${id.slice(0, 11)}`;
  expect(linksOf()).toContain(own);
  await must('run', '-d', '--name', 'a1', '--network', 'alone', IMG, 'sleep', '1000');
  expect(await must('run', '--rm', '--network', 'alone', IMG, 'ping', '-c', '1', '-W', '3', 'a1')).toContain(
    '1 packets received',
  );
  expect(await must('exec', 'a1', 'ip', 'route')).not.toContain('default');
  await must('rm', '-f', 'a1');
  await must('network', 'rm', 'alone');
  await eventually('its link is gone', () => !linksOf().some((link) => link.endsWith(own.slice(2))));
});

test('macvlan modes, and what cannot be', async () => {
  for (const [args, words] of [
    [['-o', 'parent=nosuch0'], 'invalid subinterface vlan name nosuch0, example formatting is eth0.10'],
    [['-o', 'parent=nosuch0.7'], 'the requested parent interface nosuch0 was not found on the Docker host'],
    [['-o', 'parent=lo'], 'loopback interface is not a valid macvlan parent link'],
    [['-o', 'macvlan_mode=nosuch'], "requested macvlan mode 'nosuch' is not valid"],
    [['-o', 'macvlan_mod=vepa'], 'unknown macvlan option "macvlan_mod"'],
  ] as const) {
    await refusal(1, words, 'network', 'create', '-d', 'macvlan', ...args, 'bad');
  }
  for (const mode of ['bridge', 'vepa', 'private', 'passthru']) {
    await must(
      'network',
      'create',
      '-d',
      'macvlan',
      '-o',
      `parent=${PARENT}`,
      '-o',
      `macvlan_mode=${mode}`,
      `mv-${mode}`,
    );
    await must('run', '-d', '--name', `in-${mode}`, '--network', `mv-${mode}`, IMG, 'sleep', '1000');
    const pid = await inspect(`in-${mode}`, '{{.State.Pid}}');
    const shown = await command('nsenter', ['-t', pid, '-n', 'ip', '-d', 'link', 'show', 'eth0']);
    expect(shown).toContain(`macvlan mode ${mode}`);
    await must('rm', '-f', `in-${mode}`);
    if (mode === 'passthru') {
      const other = await docker('network', 'create', '-d', 'macvlan', '-o', `parent=${PARENT}`, 'second');
      expect(other.stderr).toContain(`parent interface ${PARENT} is in use by a passthru network`);
    }
    await must('network', 'rm', `mv-${mode}`);
  }
});

test('a VLAN and ipvlan: there, or refused by the name of what the kernel lacks', async () => {
  const vlan = await docker('network', 'create', '-d', 'macvlan', '-o', `parent=${PARENT}.10`, 'tagged');
  if (vlan.code === 0) {
    expect(linksOf()).toContain(`${PARENT}.10`);
    await must('network', 'rm', 'tagged');
    await eventually('the VLAN is gone', () => !linksOf().includes(`${PARENT}.10`));
  } else expect(vlan.stderr).toContain('this kernel has no vlan links (CONFIG_VLAN_8021Q)');
  for (const mode of ['l2', 'l3', 'l3s']) {
    const options = ['-o', `parent=${PARENT}`, '-o', `ipvlan_mode=${mode}`, '--subnet', '10.214.3.0/24'];
    const made = await docker('network', 'create', '-d', 'ipvlan', ...options, 'iv');
    if (made.code !== 0) {
      expect(made.stderr).toContain('this kernel has no ipvlan links (CONFIG_IPVLAN)');
      continue;
    }
    await must('run', '-d', '--name', 'i1', '--network', 'iv', IMG, 'sleep', '1000');
    expect(await must('run', '--rm', '--network', 'iv', IMG, 'ping', '-c', '1', '-W', '3', 'i1')).toContain(
      '1 packets received',
    );
    const route = await must('exec', 'i1', 'ip', 'route');
    expect(route).toContain(mode === 'l2' ? 'default via 10.214.3.1 dev eth0' : 'default dev eth0');
    await must('rm', '-f', 'i1');
    await must('network', 'rm', 'iv');
  }
  const wrong = await docker('network', 'create', '-d', 'ipvlan', '-o', 'ipvlan_mode=l4', 'iv');
  expect(wrong.stderr).toContain("requested ipvlan mode 'l4' is not valid");
});

test('IPv6 alone, and neither', async () => {
  await must('network', 'create', '--ipv4=false', '--ipv6', '--subnet', 'fd00:214:4::/64', 'six');
  expect(await must('network', 'inspect', '-f', '{{.EnableIPv4}} {{.EnableIPv6}} {{json .IPAM.Config}}', 'six')).toBe(
    'false true [{"Subnet":"fd00:214:4::/64","Gateway":"fd00:214:4::1"}]',
  );
  await must('run', '-d', '--name', 's1', '--network', 'six', '-p', '80', IMG, 'sleep', '1000');
  expect(
    await inspect(
      's1',
      '{{with index .NetworkSettings.Networks "six"}}{{.IPAddress}}|{{.GlobalIPv6Address}}|{{.IPv6Gateway}}{{end}}',
    ),
  ).toBe('|fd00:214:4::2|fd00:214:4::1');
  expect(await must('port', 's1', '80')).toMatch(/^\[::\]:\d+$/);
  expect(await must('exec', 's1', 'ip', '-4', 'addr', 'show', 'eth0')).toBe('');
  expect(await must('run', '--rm', '--network', 'six', IMG, 'ping', '-c', '1', '-W', '3', 's1')).toContain(
    'fd00:214:4::2',
  );
  // With one of IPv4 beside it, each family has its own way out.
  await must('network', 'create', '--subnet', '10.214.4.0/24', 'four');
  await must('network', 'connect', 'four', 's1');
  expect(await must('exec', 's1', 'ip', 'route')).toContain('default via 10.214.4.1 dev eth1');
  expect(await must('exec', 's1', 'ip', '-6', 'route')).toContain('default via fd00:214:4::1 dev eth0');
  const ports = await must('port', 's1', '80');
  expect(ports).toMatch(/^0\.0\.0\.0:\d+$/m);
  expect(ports).toMatch(/^\[::\]:\d+$/m);
  await must('rm', '-f', 's1');
  await must('network', 'rm', 'six', 'four');
  expect((await docker('network', 'create', '--ipv4=false', 'none6')).stderr).toContain('IPv4 or IPv6 must be enabled');
});

test('names and sysctls of interfaces, link-local addresses, prefix of a network', async () => {
  const option = (key: string) => `driver-opt=com.docker.network.endpoint.${key}`;
  await must(
    'network',
    'create',
    '-o',
    'com.docker.network.container_iface_prefix=lan',
    '--subnet',
    '10.214.5.0/24',
    'n1',
  );
  await must('network', 'create', '--subnet', '10.214.6.0/24', 'n2');
  const sysctls = 'net.ipv4.conf.IFNAME.log_martians=1';
  const out = await must(
    ...[
      'run',
      '--rm',
      '--network',
      'n1',
      '--network',
      `name=n2,${option('ifname')}=wan0,${option('sysctls')}=${sysctls}`,
    ],
    ...[IMG, 'sh', '-c', 'ls /sys/class/net; cat /proc/sys/net/ipv4/conf/wan0/log_martians'],
  );
  expect(out).toBe('lan0\nlo\nwan0\n1');
  const local = await must(
    ...['run', '--rm', '--network', 'n2', '--link-local-ip', '169.254.8.8', IMG, 'ip', 'addr', 'show', 'eth0'],
  );
  expect(local).toContain('inet 169.254.8.8/16');
  for (const [options, words] of [
    [`${option('ifname')}=a/b`, 'invalid value for "com.docker.network.endpoint.ifname": "a/b"'],
    [`${option('sysctls')}=kernel.x=1`, 'invalid endpoint sysctl'],
    [`${option('sysctls')}=net.ipv4.conf.IFNAME.nosuch=1`, 'Cannot set sysctls of "eth0"'],
    ['driver-opt=com.docker.network.nosuch=1', 'com.docker.network.nosuch'],
  ] as const) {
    await refusal(125, words, 'run', '--rm', '--network', `name=n2,${options}`, IMG, 'true');
  }
  await must('network', 'rm', 'n1', 'n2');
});

test('gw-priority decides which network leads out and publishes, also of one that comes later', async () => {
  for (const n of [7, 8, 9]) await must('network', 'create', '--subnet', `10.214.${n}.0/24`, `g${n}`);
  await must(
    ...['run', '-d', '--name', 'gw', '-p', '127.0.0.1:0:80', '--network', 'g7'],
    ...['--network', 'name=g8,gw-priority=1', IMG, 'sleep', '1000'],
  );
  const route = () => must('exec', 'gw', 'ip', 'route', 'show', 'default');
  expect(await route()).toContain('via 10.214.8.1');
  await must('network', 'connect', '--gw-priority', '5', 'g9', 'gw');
  expect(await route()).toMatch(/^default via 10\.214\.9\.1 dev eth2/);
  expect(await must('port', 'gw', '80')).toMatch(/^127\.0\.0\.1:\d+$/);
  await must('network', 'disconnect', 'g9', 'gw');
  expect(await route()).toContain('via 10.214.8.1');
  await must('network', 'disconnect', 'g8', 'gw');
  expect(await route()).toContain('via 10.214.7.1');
  expect(await must('port', 'gw', '80')).toMatch(/^127\.0\.0\.1:\d+$/);
  await must('rm', '-f', 'gw');
  await must('network', 'rm', 'g7', 'g8', 'g9');
});

test('options of bridges: values are checked by name, modes are shown', async () => {
  const key = (name: string) => `com.docker.network.bridge.${name}`;
  for (const [option, words] of [
    [`${key('gateway_mode_ipv4')}=nosuch`, 'want nat, nat-unprotected, routed, isolated'],
    [`${key('gateway_mode_ipv4')}=isolated`, 'mode "isolated" is for internal networks only'],
    [`${key('enable_icc')}=perhaps`, 'want true or false'],
    [`${key('nosuch')}=1`, 'unknown network option'],
    ['com.docker.network.host_ipv4=x', 'want an IPv4 address'],
    ['com.docker.network.container_iface_prefix=a/', 'invalid value for'],
  ] as const) {
    await refusal(1, words, 'network', 'create', '-o', option, 'bad');
  }
  await must('network', 'create', '-o', `${key('gateway_mode_ipv4')}=routed`, '--subnet', '10.214.10.0/24', 'routed');
  await must('run', '-d', '--name', 'rt', '--network', 'routed', '-p', '8080:80', IMG, 'sleep', '1000');
  expect(await inspect('rt', '{{json .NetworkSettings.Ports}}')).toBe(
    '{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":""}]}',
  );
  await must('rm', '-f', 'rt');
  await must('network', 'rm', 'routed');
  await must('network', 'create', '-o', `${key('inhibit_ipv4')}=true`, '--subnet', '10.214.11.0/24', 'bare');
  const id = await must('network', 'inspect', '-f', '{{.Id}}', 'bare');
  expect((await command('ip', ['-4', '-br', 'addr', 'show', `br-${id.slice(0, 12)}`])).trim()).toBe('');
  await must('network', 'rm', 'bare');
});
