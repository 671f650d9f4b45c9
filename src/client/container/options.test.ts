import { describe, expect, test } from 'bun:test';
import { parseFlags } from '../flags/parse-flags.ts';
import { createBody } from './create-body.ts';
import { splitCsv } from './csv.ts';
import { parseDevice, parseSecurityOptions } from './device-option.ts';
import { parseLimit } from './flag-values.ts';
import { checkHost, checkServer } from './hosts.ts';
import { isAddress } from './ip.ts';
import { formatPorts } from './ls.ts';
import { parseMount } from './mount-option.ts';
import { parseExposed, parsePublished } from './port-option.ts';
import { CREATE_FLAGS } from './run-flags.ts';
import { splitVolumes } from './volume-option.ts';

function body(...argv: string[]) {
  const { values, given, positionals } = parseFlags(CREATE_FLAGS, argv, { interspersed: false });
  const [image = '', ...command] = positionals;
  return createBody({ values, given, image, command, environment: { HOME: '/here' } });
}

describe('what run asks for', () => {
  test('nothing but an image', () => {
    const { HostConfig, NetworkingConfig, ...config } = body('img');
    expect(config).toMatchObject({ Image: 'img', Cmd: null, Entrypoint: null, AttachStdout: true, OpenStdin: false });
    expect(HostConfig).toMatchObject({ NetworkMode: 'default', Memory: 0, Binds: null, AutoRemove: false });
    expect(HostConfig).not.toHaveProperty('Init');
    expect(HostConfig).not.toHaveProperty('PidsLimit');
    expect(NetworkingConfig).toEqual({ EndpointsConfig: {} });
  });
  test("the program's own options stay its own", () => {
    expect(body('--rm', 'img', 'ls', '-la', '--rm=x')).toMatchObject({ Cmd: ['ls', '-la', '--rm=x'] });
  });
  test('-i attaches and closes with the client', () => {
    expect(body('-i', 'img')).toMatchObject({
      AttachStdin: true,
      OpenStdin: true,
      StdinOnce: true,
      AttachStderr: true,
    });
    expect(body('-a', 'stdout', 'img')).toMatchObject({ AttachStdin: false, AttachStdout: true, AttachStderr: false });
  });
  test('an empty entrypoint is an entrypoint', () => expect(body('--entrypoint', '', 'img').Entrypoint).toEqual(['']));
  test('variables', () =>
    expect(body('-e', 'A=1', '-e', 'HOME', '-e', 'NONE', 'img').Env).toEqual(['A=1', 'HOME=/here', 'NONE']));
  test('limits', () => {
    expect(
      body('-m', '64m', '--cpus', '1.5', '--pids-limit', '0', '--memory-swap', '-1', 'img').HostConfig,
    ).toMatchObject({
      Memory: 67108864,
      NanoCpus: 1.5e9,
      PidsLimit: 0,
      MemorySwap: -1,
    });
  });
  test('--init=false is not nothing', () => expect(body('--init=false', 'img').HostConfig.Init).toBe(false));
  test('volumes', () => {
    const asked = body('-v', '/data', '-v', '/a:/b:ro', 'img');
    expect([asked.Volumes, asked.HostConfig.Binds]).toEqual([{ '/data': {} }, ['/a:/b:ro']]);
  });
  test('networks', () => {
    expect(body('--network', 'none', 'img').NetworkingConfig.EndpointsConfig).toHaveProperty('none');
    expect(body('--network', 'container:x', 'img').NetworkingConfig.EndpointsConfig).toEqual({});
    expect(body('--network', 'name=n,alias=x,ip=10.0.0.1', 'img')).toMatchObject({
      HostConfig: { NetworkMode: 'n' },
      NetworkingConfig: { EndpointsConfig: { n: { Aliases: ['x'], IPAMConfig: { IPv4Address: '10.0.0.1' } } } },
    });
  });
  test('restart and rm exclude each other', () => {
    expect(() => body('--rm', '--restart', 'always', 'img')).toThrow(
      'conflicting options: cannot specify both --restart and --rm',
    );
    expect(body('--restart', 'on-failure:3', 'img').HostConfig.RestartPolicy).toEqual({
      Name: 'on-failure',
      MaximumRetryCount: 3,
    });
  });
  test("what is of Windows is refused in docker's words", () => {
    expect(() => body('--cpu-count', '2', 'img')).toThrow(
      '"--cpu-count" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux',
    );
  });
  test('names of before mean the same', () => {
    const { HostConfig, NetworkingConfig } = body('--net', 'n', '--net-alias', 'a', '--dns-opt', 'ndots:1', 'img');
    expect(HostConfig.DnsOptions).toEqual(['ndots:1']);
    expect(NetworkingConfig?.EndpointsConfig?.['n']?.Aliases).toEqual(['a']);
    expect(body('--disable-content-trust=false', '--kernel-memory', '4m', 'img').Image).toBe('img');
  });
  test('devices by name, and GPUs', () => {
    const request = { Driver: '', Count: 0, DeviceIDs: null, Capabilities: [['gpu']], Options: {} };
    const asked = body('--device', 'vendor.com/class=x', '--device', '/dev/null', '--gpus', 'all', 'img').HostConfig;
    expect(asked.Devices).toEqual([
      { PathOnHost: '/dev/null', PathInContainer: '/dev/null', CgroupPermissions: 'rwm' },
    ]);
    expect(asked.DeviceRequests).toEqual([
      { Driver: 'cdi', Count: 0, DeviceIDs: ['vendor.com/class=x'], Capabilities: null, Options: null },
      { ...request, Count: -1 },
    ]);
    expect(body('--gpus', '"device=0,1",driver=nvidia,capabilities=video', 'img').HostConfig.DeviceRequests).toEqual([
      { ...request, Driver: 'nvidia', DeviceIDs: ['0', '1'], Capabilities: [['gpu', 'video']] },
    ]);
    expect(() => body('--gpus', 'some', 'img')).toThrow(
      'invalid count (some): value must be either "all" or an integer',
    );
    expect(() => body('--gpus', 'a=b', 'img')).toThrow("unexpected key 'a' in 'a=b'");
  });
});

describe('mounts', () => {
  test('bind', () => {
    expect(parseMount('type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave')).toEqual({
      Type: 'bind',
      Source: '/a',
      Target: '/b',
      ReadOnly: true,
      BindOptions: { Propagation: 'rslave' },
    });
  });
  test('tmpfs', () => {
    expect(parseMount('type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777')).toEqual({
      Type: 'tmpfs',
      Target: '/t',
      TmpfsOptions: { SizeBytes: 1048576, Mode: 0o1777 },
    });
  });
  test('volume with options', () => {
    expect(parseMount('source=v,target=/t,"volume-opt=o=a,b",volume-opt=type=x')).toEqual({
      Type: 'volume',
      Source: 'v',
      Target: '/t',
      VolumeOptions: { DriverConfig: { Options: { o: 'a,b', type: 'x' } } },
    });
  });
  for (const [text, message] of [
    ['foo', "invalid field 'foo' must be a key=value pair"],
    ['foo=1', "unexpected key 'foo' in 'foo=1'"],
    ['type=bind,src=/a', 'target is required'],
    ['type=tmpfs,target=/t,bind-propagation=x', "cannot mix 'bind-*' options with mount type 'tmpfs'"],
  ] as const) {
    test(text, () => expect(() => parseMount(text)).toThrow(message));
  }
});

describe('ports', () => {
  for (const [text, expected] of [
    ['80', { '80/tcp': [{ HostIp: '', HostPort: '' }] }],
    ['8080:80/udp', { '80/udp': [{ HostIp: '', HostPort: '8080' }] }],
    ['127.0.0.1::80', { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] }],
    ['[::1]:81:80', { '80/tcp': [{ HostIp: '::1', HostPort: '81' }] }],
    ['8000-8001:80-81', { '80/tcp': [{ HostIp: '', HostPort: '8000' }], '81/tcp': [{ HostIp: '', HostPort: '8001' }] }],
    ['8000-8009:80', { '80/tcp': [{ HostIp: '', HostPort: '8000-8009' }] }],
    ['published=81,target=80,protocol=udp', { '80/udp': [{ HostIp: '', HostPort: '81' }] }],
  ] as const) {
    test(text, () => expect(JSON.stringify(parsePublished([text]).bindings)).toBe(JSON.stringify(expected)));
  }
  test('bad ones', () => {
    expect(() => parsePublished(['x'])).toThrow('invalid containerPort: x');
    expect(() => parsePublished(['1-2:3-5'])).toThrow('invalid ranges specified');
    expect(() => parsePublished(['80/foo'])).toThrow('invalid proto: foo');
    expect(() => parsePublished(['1.2.3:80:80'])).toThrow('invalid IP address: 1.2.3');
  });
  test('exposed', () =>
    expect(Object.keys(parseExposed(['80-82', '53/udp']))).toEqual(['80/tcp', '81/tcp', '82/tcp', '53/udp']));
  test('shown', () => {
    const tcp = (PrivatePort: number, PublicPort?: number, IP?: string) => ({
      Type: 'tcp',
      PrivatePort,
      ...(PublicPort === undefined ? {} : { PublicPort }),
      ...(IP === undefined ? {} : { IP }),
    });
    expect(formatPorts([tcp(443), tcp(80, 8080, '0.0.0.0'), tcp(81, 8081, '0.0.0.0'), tcp(80, 8080, '::')])).toBe(
      '0.0.0.0:8080-8081->80-81/tcp, [::]:8080->80/tcp, 443/tcp',
    );
  });
});

test('devices', () => {
  const device = (host: string, container: string, mode: string) => ({
    PathOnHost: host,
    PathInContainer: container,
    CgroupPermissions: mode,
  });
  expect(parseDevice('/dev/a')).toEqual(device('/dev/a', '/dev/a', 'rwm'));
  expect(parseDevice('/dev/a:r')).toEqual(device('/dev/a', '/dev/a', 'r'));
  expect(parseDevice('/dev/a:/dev/b:rw')).toEqual(device('/dev/a', '/dev/b', 'rw'));
  expect(() => parseDevice('/dev/a:b')).toThrow('b is not an absolute path');
});

test('security options', () => {
  expect(parseSecurityOptions(['no-new-privileges', 'seccomp=unconfined', 'apparmor:x'])).toEqual({
    options: ['no-new-privileges', 'seccomp=unconfined', 'apparmor:x'],
    unmasked: false,
  });
  expect(parseSecurityOptions(['systempaths=unconfined'])).toEqual({ options: [], unmasked: true });
  expect(() => parseSecurityOptions(['foo'])).toThrow('Invalid --security-opt: "foo"');
  expect(() => parseSecurityOptions(['seccomp=/nope.json'])).toThrow('opening seccomp profile (/nope.json) failed');
});

test('a DNS server is an address', () => {
  expect(checkServer(' ::1 ')).toBe('::1');
  expect(() => checkServer('foo')).toThrow('IP address is not correctly formatted: foo');
});

test('limits of resources', () => {
  expect(parseLimit('nofile=1:2')).toEqual({ Name: 'nofile', Soft: 1, Hard: 2 });
  expect(parseLimit('nofile=5')).toEqual({ Name: 'nofile', Soft: 5, Hard: 5 });
  expect(() => parseLimit('foo=1')).toThrow('invalid ulimit type: foo');
  expect(() => parseLimit('foo')).toThrow('invalid ulimit argument: foo');
  expect(() => parseLimit('nofile=3:2')).toThrow('soft limit must be less than or equal to hard limit: 3 > 2');
});

test('hosts and addresses', () => {
  expect(checkHost('a:1.2.3.4')).toBe('a:1.2.3.4');
  expect(checkHost('a=[::1]')).toBe('a:::1');
  expect(checkHost('a:host-gateway')).toBe('a:host-gateway');
  expect(() => checkHost('a')).toThrow('bad format for add-host: "a"');
  expect(['1.2.3.4', '::', 'fe80::1', '::ffff:1.2.3.4'].every((text) => isAddress(text))).toBe(true);
  expect(['1.2.3', '1.2.3.256', 'x', ':::', '1:2'].some((text) => isAddress(text))).toBe(false);
});

test('csv', () => {
  expect(splitCsv('a,"b,c",d')).toEqual(['a', 'b,c', 'd']);
  expect(splitCsv('"a""b"')).toEqual(['a"b']);
  expect(splitCsv('a,')).toEqual(['a', '']);
  expect(() => splitCsv('a"b')).toThrow('bare "');
});

test('relative binds become absolute', () => {
  expect(splitVolumes(['./x:/y']).binds).toEqual([`${process.cwd()}/x:/y`]);
});
