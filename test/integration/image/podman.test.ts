/**
 * One image on its way between this daemon, Debian's dockerd and podman, by registries (Debian's and ours) and by
 * archives of both formats: wherever it arrives it has the same id, and by registry the same digest.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxImage } from '../../support/base-images.ts';
import { must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { ensurePackage } from '../../support/debian-package.ts';
import { Dockerd } from '../../support/dockerd.ts';
import { RegistryProcess } from '../../support/registry-server.ts';
import { TestRegistry } from '../../support/registry.ts';

const LIMIT_MS = 120_000;
const FORMAT = '{{.Id}}';
const cleanup = new AsyncDisposableStack();
let d: TestDaemon;
let peer: Dockerd;
let directory = '';
let id = '';

beforeAll(async () => {
  await ensurePackage('/usr/bin/podman', 'podman');
  d = cleanup.use(await TestDaemon.start({ noBridge: true }));
  peer = cleanup.use(await Dockerd.start());
  directory = d.directory;
  fs.writeFileSync(path.join(directory, 'anything.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
  ({ id } = await busyboxImage());
}, 400_000);
afterAll(() => cleanup.disposeAsync(), 60_000);

const dockerd = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await peer.docker(args, { limitMs: LIMIT_MS });
  if (code !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
};

/** With stores of its own, so that nothing of the machine's podman is touched. */
const podman = (...args: string[]): Promise<string> => {
  const at = (name: string): string => path.join(directory, name);
  const stores = ['--root', at('podman'), '--runroot', at('podman-run'), '--tmpdir', at('podman-tmp')];
  const quiet = ['--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs', '--events-backend', 'none'];
  return must('podman', [...stores, ...quiet, ...args], { limitMs: LIMIT_MS });
};

const anything = (): string[] => ['--signature-policy', path.join(directory, 'anything.json')];
const idOf = async (of: (...args: string[]) => Promise<string>, name: string): Promise<string> => {
  const found = await of('image', 'inspect', '--format', FORMAT, name);
  return found.startsWith('sha256:') ? found : `sha256:${found}`;
};
const ours = (...args: string[]): Promise<string> => d.must(args, { limitMs: LIMIT_MS });

const registries = {
  "Debian's docker-registry": () => TestRegistry.start(),
  'berth registry serve': () => RegistryProcess.start(),
} as const;

describe.each(Object.entries(registries))('by %s', (_, start) => {
  test(
    'from us to podman and dockerd and back: the same image, and what they have pushed is pushed on as it was',
    async () => {
      await using registry = await start();
      const at = (name: string): string => `${registry.host}/round/${name}:1`;
      const digestIn = (name: string): Promise<string> =>
        must('skopeo', ['inspect', '--tls-verify=false', '--format', '{{.Digest}}', `docker://${at(name)}`]);
      const digestsOf = async (of: typeof ours, name: string): Promise<string> =>
        of('image', 'inspect', '--format', '{{json .RepoDigests}}', at(name));
      await ours('tag', 'berth.test/busybox:1', at('ours'));
      await ours('push', '-q', at('ours'));
      const digest = await digestIn('ours');
      await ours('rmi', at('ours'));

      await podman('pull', '-q', '--tls-verify=false', ...anything(), at('ours'));
      expect(await digestsOf(podman, 'ours')).toContain(digest);
      await podman('tag', at('ours'), at('podman'));
      await podman('push', '-q', '--tls-verify=false', ...anything(), at('podman'));
      await dockerd('pull', '-q', at('ours'));
      expect(await digestsOf(dockerd, 'ours')).toContain(digest);
      await dockerd('tag', at('ours'), at('dockerd'));
      await dockerd('push', '-q', at('dockerd'));

      for (const [of, name] of [
        [podman, 'podman'],
        [dockerd, 'dockerd'],
      ] as const) {
        expect(await idOf(of, at(name))).toBe(id);
        // They compress and write anew: the digest may be another one, which has to stay from here on.
        const theirs = await digestIn(name);
        await ours('pull', '-q', at(name));
        expect(await idOf(ours, at(name))).toBe(id);
        expect(await digestsOf(ours, name)).toContain(theirs);
        expect(await ours('run', '--rm', '--network', 'none', at(name), 'echo', 'back')).toBe('back');
        await ours('tag', at(name), at(`${name}-on`));
        expect(await ours('push', at(`${name}-on`))).toContain(`digest: ${theirs}`);
        await ours('rmi', at(name), at(`${name}-on`));
        // From one of them to the other, by us.
        const other = of === podman ? dockerd : podman;
        const flags = other === podman ? ['--tls-verify=false', ...anything()] : [];
        await other('pull', '-q', ...flags, at(`${name}-on`));
        expect(await idOf(other, at(`${name}-on`))).toBe(id);
        expect(await digestsOf(other, `${name}-on`)).toContain(theirs);
      }
      await dockerd('rmi', at('ours'), at('dockerd'), at('podman-on'));
      await podman('rmi', at('ours'), at('podman'), at('dockerd-on'));
    },
    LIMIT_MS,
  );
});

test(
  'by archives of both formats, to everybody and back',
  async () => {
    const at = (name: string): string => path.join(directory, `${name}.tar`);
    const name = 'round.example/archived:1';
    await ours('tag', 'berth.test/busybox:1', name);
    await ours('save', '-o', at('ours'), name);
    await ours('rmi', name);
    await podman('load', '-q', ...anything(), '-i', at('ours'));
    expect(await idOf(podman, name)).toBe(id);
    for (const format of ['docker-archive', 'oci-archive']) {
      await podman('save', '-q', '--format', format, '-o', at(format), name);
    }
    await dockerd('load', '-q', '-i', at('docker-archive'));
    expect(await idOf(dockerd, name)).toBe(id);
    await dockerd('save', '-o', at('dockerd'), name);
    for (const archive of ['docker-archive', 'dockerd']) {
      await ours('load', '-q', '-i', at(archive));
      expect(await idOf(ours, name)).toBe(id);
      await ours('rmi', name);
    }
    // What podman writes as an OCI layout has a configuration of OCI's shape: an id of its own, the same for both.
    const loaded = /sha256:[0-9a-f]{64}|[a-z.]+\/archived:1/.exec(
      await ours('load', '-q', '-i', at('oci-archive')),
    )?.[0];
    await podman('rmi', name);
    await podman('load', '-q', ...anything(), '-i', at('oci-archive'));
    expect(await idOf(ours, loaded ?? '')).toBe(await idOf(podman, name));
    // And ours again into podman, from an image that came as OCI.
    await ours('save', '-o', at('ours'), loaded ?? '');
    await podman('rmi', name);
    await podman('load', '-q', ...anything(), '-i', at('ours'));
    await ours('rmi', loaded ?? '');
    await dockerd('rmi', name);
  },
  LIMIT_MS,
);
