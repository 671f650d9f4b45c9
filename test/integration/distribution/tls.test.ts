/**
 * Registries that speak TLS, on an address that is not this machine's own loopback (which is trusted without): their
 * authority, our certificate, mirrors of hosts.toml before them, and CIDRs of insecure-registries.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must, run } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { RegistryProcess } from '../../support/registry-server.ts';

const link = `bttls${process.pid % 100_000}`;
const address = `10.254.${(process.pid >> 8) % 256}.${(process.pid % 254) + 1}`;
let d: TestDaemon;
let certs = '';
let cleanup: AsyncDisposableStack;

beforeAll(async () => {
  cleanup = new AsyncDisposableStack();
  await must('ip', ['link', 'add', link, 'type', 'bridge']);
  cleanup.defer(async () => {
    await run('ip', ['link', 'del', link]);
  });
  await must('ip', ['addr', 'add', `${address}/32`, 'dev', link]);
  await must('ip', ['link', 'set', link, 'up']);
  d = await TestDaemon.start({ noBridge: true });
  cleanup.use(d);
  certs = path.join(d.directory, 'certs.d');
  fs.mkdirSync(certs);
}, 60_000);
afterAll(() => cleanup.disposeAsync(), 60_000);

/** An authority, a server's certificate for the address, and one for a client. */
async function authority(directory: string): Promise<void> {
  const at = (name: string): string => path.join(directory, name);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await must('openssl', [
    ...['req', '-x509', ...key, '-keyout', at('ca.key'), '-out', at('ca.crt'), '-days', '2', '-subj', '/CN=test'],
  ]);
  for (const [name, extension] of [
    ['server', `subjectAltName=IP:${address}`],
    ['client', 'extendedKeyUsage=clientAuth'],
  ] as const) {
    fs.writeFileSync(at(`${name}.ext`), extension);
    const request = ['req', ...key, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`), '-subj', `/CN=${name}`];
    await must('openssl', request);
    await must('openssl', [
      ...['x509', '-req', '-in', at(`${name}.csr`), '-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial'],
      ...['-out', at(`${name}.crt`), '-days', '2', '-extfile', at(`${name}.ext`)],
    ]);
  }
}

async function serve(...flags: string[]): Promise<RegistryProcess> {
  const args = async (directory: string): Promise<string[]> => {
    await authority(directory);
    const at = (name: string): string => path.join(directory, name);
    const named = flags.map((flag) => flag.replace('DIR', directory));
    return ['--tls-cert', at('server.crt'), '--tls-key', at('server.key'), ...named];
  };
  return RegistryProcess.start(args, { address });
}

/** What is there with skopeo, whose certificates are its own business. */
async function fill(registry: RegistryProcess): Promise<void> {
  const own = path.join(d.directory, 'skopeo');
  fs.mkdirSync(own, { recursive: true });
  for (const [from, to] of [
    ['ca.crt', 'ca.crt'],
    ['client.crt', 'client.cert'],
    ['client.key', 'client.key'],
  ] as const)
    fs.copyFileSync(path.join(registry.directory, from), path.join(own, to));
  const { path: archive } = await busyboxImage();
  await must('skopeo', [
    ...['copy', '-q', '--insecure-policy', '--dest-cert-dir', own, `docker-archive:${archive}`],
    `docker://${registry.host}/team/app:1`,
  ]);
}

async function configure(config: Record<string, unknown>): Promise<void> {
  const document = { 'registry-certs-dirs': [certs], ...config };
  fs.writeFileSync(path.join(d.directory, 'daemon.json'), JSON.stringify(document));
  await d.restart('SIGTERM');
}

function trust(host: string, registry: RegistryProcess, files: Readonly<Record<string, string>>): void {
  fs.mkdirSync(path.join(certs, host), { recursive: true });
  for (const [to, from] of Object.entries(files)) {
    fs.copyFileSync(path.join(registry.directory, from), path.join(certs, host, to));
  }
}

async function failure(name: string): Promise<string> {
  const { code, stderr } = await d.docker(['pull', '-q', name]);
  expect(code).toBe(1);
  return stderr;
}

async function pulls(name: string): Promise<void> {
  await d.must(['pull', '-q', name]);
  expect(await d.must(['run', '--rm', '--network', 'none', name, 'echo', 'by TLS'])).toBe('by TLS');
}

test('an authority and our certificate, from certs.d', async () => {
  await using registry = await serve('--tls-client-ca', 'DIR/ca.crt');
  await fill(registry);
  const name = `${registry.host}/team/app:1`;
  await configure({});
  expect(await failure(name)).toContain('x509: certificate signed by unknown authority');
  trust(registry.host, registry, { 'ca.crt': 'ca.crt' });
  // Without ours the handshake ends, in whatever words.
  await failure(name);
  trust(registry.host, registry, { 'client.cert': 'client.crt' });
  expect(await failure(name)).toContain('missing key client.key for client certificate client.cert');
  trust(registry.host, registry, { 'client.key': 'client.key' });
  await pulls(name);
  // The other way, with the same certificates.
  await d.must(['tag', name, `${registry.host}/pushed:1`]);
  await d.must(['push', '-q', `${registry.host}/pushed:1`]);
  await d.must(['rmi', name, `${registry.host}/pushed:1`]);
  await pulls(`${registry.host}/pushed:1`);
}, 90_000);

test('mirrors of any registry by hosts.toml, each with its certificates, in order', async () => {
  await using mirror = await serve('--tls-client-ca', 'DIR/ca.crt');
  await fill(mirror);
  const host = 'registry.invalid:7777';
  trust(host, mirror, { 'mirror-ca.pem': 'ca.crt', 'mine.pem': 'client.crt', 'mine.key': 'client.key' });
  const hosts = [
    `server = "https://${host}"`,
    // Nobody is there: the next is asked.
    '[host."https://127.0.0.1:1"]',
    '  capabilities = ["pull", "resolve"]',
    `[host."https://${mirror.host}"]`,
    '  capabilities = ["pull", "resolve"]',
    '  ca = "mirror-ca.pem"',
    '  client = [["mine.pem", "mine.key"]]',
  ];
  fs.writeFileSync(path.join(certs, host, 'hosts.toml'), hosts.join('\n'));
  await configure({});
  await pulls(`${host}/team/app:1`);
  expect(await d.must(['image', 'inspect', '-f', '{{.RepoTags}}', `${host}/team/app:1`])).toContain(host);
  // Mirrors take nothing: a push goes to the registry itself, which is not there.
  const pushed = await d.docker(['push', '-q', `${host}/team/app:1`]);
  expect(pushed.code).toBe(1);
  expect(pushed.stderr).toContain('registry.invalid');
}, 90_000);

test('a CIDR of insecure registries: unknown authorities, and no TLS at all', async () => {
  await using registry = await serve();
  await fill(registry);
  await using plain = await RegistryProcess.start([], { address });
  const { path: archive } = await busyboxImage();
  const to = `docker://${plain.host}/team/app:1`;
  await must('skopeo', ['copy', '-q', '--insecure-policy', '--dest-tls-verify=false', `docker-archive:${archive}`, to]);
  await configure({});
  expect(await failure(`${registry.host}/team/app:1`)).toContain('certificate signed by unknown authority');
  expect(await failure(`${plain.host}/team/app:1`)).toContain('server gave HTTP response to HTTPS client');
  await configure({ 'insecure-registries': [`${address.replace(/\.\d+$/, '.0')}/24`] });
  await pulls(`${registry.host}/team/app:1`);
  await pulls(`${plain.host}/team/app:1`);
}, 90_000);
