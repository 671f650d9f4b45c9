import { expect, test } from 'bun:test';
import { defaultRegistrySettings, hostnameOf, isInsecure, isLoopback, proxyFor } from './settings.ts';

test('hosts without their ports', () => {
  const cases: [string, string][] = [
    ['example.com', 'example.com'],
    ['Example.com:5000', 'example.com'],
    ['[::1]:5000', '::1'],
    ['[fe80::1]', 'fe80::1'],
    ['::1', '::1'],
  ];
  for (const [given, wanted] of cases) expect(hostnameOf(given)).toBe(wanted);
});

test('this machine and what the configuration names need no TLS', () => {
  for (const host of ['localhost', 'localhost:5000', 'a.localhost', '127.0.0.1:1', '127.1.2.3', '[::1]:5000']) {
    expect(isLoopback(host)).toBe(true);
  }
  for (const host of ['128.0.0.1', 'localhost.evil.com', 'x127.0.0.1', '127.0.0.1.evil.com']) {
    expect(isLoopback(host)).toBe(false);
  }
  const settings = {
    ...defaultRegistrySettings,
    insecureRegistries: ['reg.local:5000', 'plain.local', '10.0.0.0/8', 'fd00::/8', 'broken/x', '10.0.0.0/99'],
  };
  for (const host of [
    'reg.local:5000',
    'plain.local',
    'plain.local:80',
    '10.1.2.3:5000',
    '[fd00::1]:5000',
    '127.0.0.1',
  ]) {
    expect(isInsecure(settings, host)).toBe(true);
  }
  // As dockerd: what the name leads to counts as well.
  expect(isInsecure(settings, 'ten.example:5000', ['11.0.0.1', '10.9.9.9'])).toBe(true);
  expect(isInsecure(settings, 'here.example:5000', ['127.0.0.1'])).toBe(true);
  expect(isInsecure(settings, 'eleven.example', ['11.0.0.1'])).toBe(false);
  for (const host of ['reg.local', 'reg.local:5001', '11.0.0.1', 'docker.io', '[fe00::1]', 'ten.10.0.0.1']) {
    expect(isInsecure(settings, host)).toBe(false);
  }
});

test('proxies by scheme, except for hosts that want none and this machine', () => {
  const proxies = {
    http: 'http://proxy:1',
    https: 'proxy:2',
    none: ['.internal', 'exact.org', 'port.org:8443', '10.0.0.0/8', '192.168.1.1'],
  };
  const of = (url: string) => proxyFor(proxies, new URL(url));
  expect(of('http://a.org/')).toBe('http://proxy:1');
  expect(of('https://a.org/')).toBe('http://proxy:2');
  for (const url of [
    'https://a.internal/',
    'https://exact.org/',
    'https://sub.exact.org/',
    'https://port.org:8443/',
    'http://10.9.9.9/',
    'http://192.168.1.1:5000/',
    'http://localhost:5000/',
    'http://127.0.0.1/',
  ]) {
    expect(of(url)).toBeUndefined();
  }
  for (const url of ['https://internal/', 'https://port.org/', 'https://notexact.org/', 'http://11.0.0.1/']) {
    expect(of(url)).toBeDefined();
  }
  expect(proxyFor({ ...proxies, none: ['*'] }, new URL('https://a.org'))).toBeUndefined();
});
