/** `run --use-api-socket`: the daemon's socket and what the user is logged in to, in the container. */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { TestDaemon } from '../../support/daemon.ts';

const IMAGE = 'berth.test/busybox:1';

test('the socket is where clients look for it, credentials are read by root alone', async () => {
  await using daemon = await TestDaemon.start({ noBridge: true });
  const DOCKER_CONFIG = path.join(daemon.directory, 'client');
  fs.mkdirSync(DOCKER_CONFIG);
  const auth = Buffer.from('me:secret').toString('base64');
  const keep = (json: unknown) => fs.writeFileSync(path.join(DOCKER_CONFIG, 'config.json'), JSON.stringify(json));
  const look = async (...flags: string[]) => {
    const script =
      'test -S /var/run/docker.sock && echo socket; echo "$DOCKER_CONFIG"; cd /run/secrets/docker 2>/dev/null && stat -c "%a %u" config.json && cat config.json';
    const args = ['run', '--rm', '--network', 'none', '--use-api-socket', ...flags, IMAGE, 'sh', '-c', script];
    return daemon.berth(args, { env: { DOCKER_CONFIG } });
  };
  keep({});
  expect((await look()).stdout).toBe('socket\n\n');
  keep({ auths: { 'registry.test': { auth } } });
  const known = await look();
  expect(known.stderr).toBe('');
  const [socket, folder, mode, ...file] = known.stdout.split('\n');
  expect({ socket, folder, mode }).toEqual({ socket: 'socket', folder: '/run/secrets/docker', mode: '600 0' });
  expect(JSON.parse(file.join('\n'))).toEqual({ auths: { 'registry.test': { auth } } });
  // Who sets the variable takes care of it himself.
  expect((await look('-e', 'DOCKER_CONFIG=/mine')).stdout).toBe('socket\n/mine\n');
});
