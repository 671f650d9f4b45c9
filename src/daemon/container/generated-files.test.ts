import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseResolvConf, writeGeneratedFiles } from './generated-files.ts';
import { testRecord } from './testing.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'files-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const defaults = { dns: [], dnsSearch: [], dnsOptions: [] };
const endpoint = {
  id: 'e',
  networkId: 'n',
  network: 'bridge',
  containerId: 'c',
  address: { ip: '172.17.0.2', prefixLength: 16, gateway: '172.17.0.1', mac: '' },
  nameservers: [],
};

test('hosts has the own address and what --add-host asks for', () => {
  const base = testRecord({});
  const record = testRecord({
    hostConfig: { ...base.hostConfig, ExtraHosts: ['db:10.0.0.1', 'gw:host-gateway', 'six=::2'] },
  });
  const files = writeGeneratedFiles({ directory, record, links: [], endpoints: [endpoint], defaults });
  const hosts = readFileSync(files.hosts, 'utf8');
  expect(hosts).toStartWith('127.0.0.1\tlocalhost\n');
  expect(hosts).toEndWith('172.17.0.2\tabcdef012345\n10.0.0.1\tdb\n172.17.0.1\tgw\n::2\tsix\n');
  expect(readFileSync(files.hostname, 'utf8')).toBe('abcdef012345\n');
});

test('hosts names no IPv6 address where the container has no IPv6', () => {
  const base = testRecord({});
  const Sysctls = { 'net.ipv6.conf.all.disable_ipv6': '1' };
  const record = testRecord({ hostConfig: { ...base.hostConfig, Sysctls } });
  const both = { ...endpoint, address6: { ...endpoint.address, ip: 'fd00::2' } };
  const files = writeGeneratedFiles({ directory, record, links: [], endpoints: [both], defaults });
  expect(readFileSync(files.hosts, 'utf8')).toBe('127.0.0.1\tlocalhost\n172.17.0.2\tabcdef012345\n');
});

test('resolv.conf: the container, then the daemon, then the host', () => {
  const base = testRecord({});
  const record = testRecord({
    hostConfig: { ...base.hostConfig, Dns: ['9.9.9.9'], DnsSearch: ['example.org'], DnsOptions: ['ndots:2'] },
  });
  const own = writeGeneratedFiles({ directory, record, links: [], endpoints: [endpoint], defaults });
  expect(readFileSync(own.resolvConf, 'utf8')).toBe('nameserver 9.9.9.9\nsearch example.org\noptions ndots:2\n');
  const daemons = { ...defaults, dns: ['8.8.8.8'], dnsSearch: ['.'] };
  const files = writeGeneratedFiles({ directory, record: base, links: [], endpoints: [endpoint], defaults: daemons });
  expect(readFileSync(files.resolvConf, 'utf8')).toStartWith('nameserver 8.8.8.8\n');
});

test('resolv.conf is read with its comments', () => {
  expect(parseResolvConf('# x\nnameserver 1.1.1.1 # y\n; z\nsearch a b\noptions ndots:1 rotate\n')).toEqual({
    nameservers: ['1.1.1.1'],
    search: ['a', 'b'],
    options: ['ndots:1', 'rotate'],
  });
});
