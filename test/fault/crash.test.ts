/** `kill -9` of the daemon at every failpoint: after the next start everything works and nothing is left. */
import { expect, test } from 'bun:test';
import { failpointNames } from '#pkg/failpoint/failpoint.ts';
import { busyboxImage } from '../support/base-images.ts';
import { TestDaemon } from '../support/daemon.ts';

const IMG = 'berth.test/busybox:1';

/** What makes a start pass the failpoint; each is tried on a daemon that has the image, but those of load. */
async function drive(d: TestDaemon, name: string): Promise<void> {
  const limitMs = 20_000;
  if (name.startsWith('load.')) await d.docker(['load', '-q', '-i', (await busyboxImage()).path], { limitMs });
  else if (name.startsWith('exec.')) {
    await d.docker(['run', '-d', '--name', 'target', '--network', 'none', IMG, 'sleep', '100'], { limitMs });
    await d.docker(['exec', 'target', 'true'], { limitMs });
  } else if (/^(un)?pause|^update/.test(name)) {
    await d.docker(['run', '-d', '--name', 'target', '--network', 'none', IMG, 'sleep', '100'], { limitMs });
    if (name.startsWith('update')) await d.docker(['update', '--cpu-shares', '512', 'target'], { limitMs });
    else await d.docker(['pause', 'target'], { limitMs });
    if (name.startsWith('unpause')) await d.docker(['unpause', 'target'], { limitMs });
  } else if (name.startsWith('commit.')) {
    await d.docker(['run', '-d', '--name', 'target', '--network', 'none', IMG, 'sleep', '100'], { limitMs });
    await d.docker(['commit', 'target', 'committed'], { limitMs });
  } else if (/^(network|connect|disconnect)\./.test(name)) {
    await d.docker(['run', '-d', '--name', 'target', IMG, 'sleep', '100'], { limitMs });
    await d.docker(['network', 'create', 'net'], { limitMs });
    await d.docker(['network', 'connect', 'net', 'target'], { limitMs });
    await d.docker(['network', 'disconnect', 'net', 'target'], { limitMs });
  } else if (/^volume\.(?:un)?mount/.test(name)) {
    const volume = 'src=memory,dst=/data,volume-opt=type=tmpfs,volume-opt=device=tmpfs';
    await d.docker(['run', '--rm', '--network', 'none', '--mount', volume, IMG, 'true'], { limitMs });
  } else if (name === 'volume.moving' || name === 'volume.filled') {
    await d.docker(['volume', 'create', 'made'], { limitMs });
    await d.request('POST', '/berth/volumes/made/clone?name=copied').catch(() => undefined);
  } else if (name.startsWith('volume.'))
    await d.docker(['run', '--rm', '--network', 'none', '-v', '/data', IMG, 'true'], { limitMs });
  else await d.docker(['run', '--rm', '--name', 'target', IMG, 'sh', '-c', 'echo x'], { limitMs });
}

/** What needs more than a daemon and busybox: `registry-server`, `builder`, `images` and `pull` beside this file; `replace`: auto-update; `network-update`: egress-live. */
const ELSEWHERE = ['registry.', 'build.', 'content.', 'pull.', 'push.', 'replace.', 'network-update.'];

for (const name of failpointNames.filter((point) => !ELSEWHERE.some((prefix) => point.startsWith(prefix))))
  test(`kill -9 at ${name}`, async () => {
    await using d = await TestDaemon.start({ image: !name.startsWith('load.') });
    await d.kill('SIGTERM');
    await d.launch({ BERTH_FAILPOINTS: `${name}=kill` });
    const pid = d.pid;
    await drive(d, name);
    expect(await d.ended()).toBe('SIGKILL'); // a failpoint that no code passes fails here
    await d.launch();
    expect(d.pid).not.toBe(pid);
    if (name.startsWith('load.')) await d.must(['load', '-q', '-i', (await busyboxImage()).path]);
    const left = (await d.must(['ps', '-aq'])).split('\n').filter((l) => l !== '');
    if (left.length > 0) await d.must(['rm', '-f', '-v', ...left]);
    expect(await d.must(['run', '--rm', '--name', 'target', IMG, 'echo', 'works'])).toBe('works');
    await d.must(['network', 'prune', '-f']);
  }, 60_000);

test('kill -9 at random moments of four clients that create, start, exec, stop and remove', async () => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 100_000);
  console.log(`seed ${seed}`);
  let state = seed;
  const random = () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
  await using d = await TestDaemon.start();
  let stop = false;
  const client = async (n: number) => {
    for (let i = 0; !stop; i++) {
      const name = `c${n}-${i}`;
      await d.docker(['run', '-d', '--name', name, ...(i % 2 ? ['--network', 'none'] : []), IMG, 'sleep', '100'], {
        limitMs: 20_000,
      });
      await d.docker(['exec', name, 'true'], { limitMs: 20_000 });
      await d.docker(['stop', '-t', '0', name], { limitMs: 20_000 });
      await d.docker(['rm', '-f', name], { limitMs: 20_000 });
    }
  };
  const clients = [0, 1, 2, 3].map(client);
  const kills = Number(process.env['KILLS'] ?? 15);
  for (let i = 0; i < kills; i++) {
    await Bun.sleep(100 + random() * 400);
    await d.restart();
  }
  stop = true;
  await Promise.all(clients);
  const left = (await d.must(['ps', '-aq'])).split('\n').filter((l) => l !== '');
  if (left.length > 0) await d.must(['rm', '-f', ...left]);
  expect(await d.must(['run', '--rm', IMG, 'echo', 'works'])).toBe('works');
}, 240_000);
