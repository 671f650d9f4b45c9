import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { messageOf } from '#errdefs/errors.ts';
import { endpointsOf } from './endpoints.ts';
import { parseHosts } from './hosts-toml.ts';
import { defaultRegistrySettings } from './settings.ts';

function withDirectory(files: Readonly<Record<string, string>>, work: (root: string) => void): void {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-certs-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
      fs.writeFileSync(path.join(root, name), content);
    }
    work(root);
  } finally {
    fs.rmSync(root, { recursive: true });
  }
}

test('hosts in their order, with what they may and what they need', () => {
  const file = parseHosts(
    `server = "https://own.example"
     [host."https://mirror.example:5000/sub"]
       capabilities = ["pull", "resolve"]
       ca = "ca.pem"
       client = [["a.cert", "a.key"], "both.pem"]
       skip_verify = true
       [host."https://mirror.example:5000/sub".header]
         x-custom = ["one", "two"]
     [host."second.example/v2"]
       override_path = true`,
    '/etc/x',
  );
  expect(file.hosts.map(({ url }) => url)).toEqual(['https://mirror.example:5000/sub', 'https://second.example/v2']);
  expect(file.hosts[0]).toMatchObject({
    capabilities: ['pull', 'resolve'],
    ca: ['/etc/x/ca.pem'],
    client: [
      ['/etc/x/a.cert', '/etc/x/a.key'],
      ['/etc/x/both.pem', '/etc/x/both.pem'],
    ],
    skipVerify: true,
    headers: { 'x-custom': 'one, two' },
  });
  expect(file.server?.capabilities).toEqual(['pull', 'resolve', 'push']);
  for (const wrong of ['server = 1', 'host = 1', '[host."ftp://x"]', '[host."https://x"]\ncapabilities = ["fly"]']) {
    expect(() => parseHosts(wrong, '/')).toThrow();
  }
});

test('mirrors come first and get no credentials; the registry itself comes last', () => {
  const hosts = '[host."http://mirror.example"]\n  capabilities = ["pull"]\n';
  withDirectory({ 'reg.example:5000/hosts.toml': hosts }, (root) => {
    const settings = { ...defaultRegistrySettings, certificateDirectories: [root] };
    expect(endpointsOf(settings, 'reg.example:5000').map(({ base, mirror }) => [base, mirror])).toEqual([
      ['http://mirror.example/v2', true],
      ['https://reg.example:5000/v2', false],
    ]);
  });
  const settings = { ...defaultRegistrySettings, certificateDirectories: [], mirrors: ['https://hub.example/x'] };
  expect(endpointsOf(settings, 'docker.io').map(({ base }) => base)).toEqual([
    'https://hub.example/x/v2',
    'https://registry-1.docker.io/v2',
  ]);
  expect(endpointsOf(settings, 'other.example').map(({ base }) => base)).toEqual(['https://other.example/v2']);
  expect(endpointsOf(settings, '127.0.0.1:5000').map(({ base }) => base)).toEqual([
    'https://127.0.0.1:5000/v2',
    'http://127.0.0.1:5000/v2',
  ]);
});

test('certificates beside the name of the registry', () => {
  withDirectory({ 'r.example/ca.crt': 'CA', 'r.example/c.cert': 'CERT', 'r.example/c.key': 'KEY' }, (root) => {
    const settings = { ...defaultRegistrySettings, certificateDirectories: [root] };
    expect(endpointsOf(settings, 'r.example')[0]?.tls).toEqual({ ca: ['CA'], cert: 'CERT', key: 'KEY', verify: true });
  });
  withDirectory({ 'r.example/c.cert': 'CERT' }, (root) => {
    const settings = { ...defaultRegistrySettings, certificateDirectories: [root] };
    let told = '';
    try {
      endpointsOf(settings, 'r.example');
    } catch (error) {
      told = messageOf(error);
    }
    expect(told).toContain('missing key c.key for client certificate c.cert');
  });
});
