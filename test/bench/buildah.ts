/**
 * Debian's buildah as an engine that builds only: a store of its own, layers cached, runc for its steps (its crun refuses
 * hybrid hierarchies of cgroups).
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { must } from '../support/command.ts';
import { ensurePackage } from '../support/debian-package.ts';
import { Engine } from './engine.ts';
import { SMALL } from './images.ts';

export async function buildah(cleanup: AsyncDisposableStack, image: string): Promise<Engine> {
  await ensurePackage('/usr/bin/buildah', 'buildah');
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-bench-buildah-'));
  const command = ['buildah', '--root', path.join(directory, 'root'), '--runroot', path.join(directory, 'run')];
  cleanup.defer(async () => {
    await must(command[0] ?? '', [...command.slice(1), 'rmi', '-a', '-f']).catch(() => undefined);
    fs.rmSync(directory, { recursive: true, force: true });
  });
  const policy = path.join(directory, 'policy.json');
  fs.writeFileSync(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }));
  const engine = new Engine({
    name: 'buildah',
    command,
    buildsOnly: true,
    build: (tag) => [
      'bud',
      '-q',
      '--layers',
      '--runtime',
      'runc',
      '--network',
      'none',
      '--signature-policy',
      policy,
      '-t',
      tag,
    ],
    renew: async () => {
      await engine.run(['pull', '-q', '--signature-policy', policy, `docker-archive:${image}:${SMALL}`]);
    },
  });
  await engine.run(['pull', '-q', '--signature-policy', policy, `docker-archive:${image}:${SMALL}`]);
  return engine;
}
