/** Networks that others damage, and daemons that are killed while they change something of them. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { eventually, must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { isInside } from '../integration/network/namespace.ts';

const IMG = 'berth.test/busybox:1';
const serve = [IMG, 'nc', '-ll', '-p', '80', '-e', 'echo', 'hello'];

if (isInside(import.meta.path)) {
  setDefaultTimeout(60_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  const answers = async (host: string, port: number): Promise<boolean> =>
    (await run('busybox', ['nc', '-w', '2', host, String(port)])).stdout === 'hello\n';
  const ipOf = (d: TestDaemon, name: string, network: string) =>
    d.must(['inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name]);

  test('a bridge that is deleted by hand is there again with the next start, with all that was on it', async () => {
    await using d = await TestDaemon.start();
    const id = await d.must(['network', 'create', 'net']);
    await d.must(['run', '-d', '--name', 'old', '--network', 'net', '-p', '127.0.0.1:8080:80', ...serve]);
    await d.must(['run', '-d', '--name', 'plain', ...serve]);
    await eventually('an answer', () => answers('127.0.0.1', 8080));
    const [old, plain] = [await ipOf(d, 'old', 'net'), await ipOf(d, 'plain', 'bridge')];
    for (const bridge of [`br-${id.slice(0, 12)}`, d.bridge]) await must('ip', ['link', 'del', bridge]);
    expect(await answers('127.0.0.1', 8080)).toBe(false);
    expect(await d.must(['run', '--rm', '--network', 'net', IMG, 'nc', '-w', '5', old, '80'])).toBe('hello');
    expect(await d.must(['run', '--rm', IMG, 'nc', '-w', '5', plain, '80'])).toBe('hello');
    expect(await answers('127.0.0.1', 8080)).toBe(true);
    // The same when nobody starts anything, but the daemon.
    await must('ip', ['link', 'del', `br-${id.slice(0, 12)}`]);
    await d.restart();
    expect(await answers('127.0.0.1', 8080)).toBe(true);
    await d.must(['rm', '-f', 'old', 'plain']);
    await d.must(['network', 'rm', 'net']);
  });

  test('killed while it connects, disconnects or publishes: what is recorded is in force, nothing else', async () => {
    await using d = await TestDaemon.start();
    await d.must(['network', 'create', 'one']);
    await d.must(['network', 'create', '-o', 'berth.egress=deny', 'two']);
    await d.must(['run', '-d', '--name', 'web', '--network', 'one', '-p', '127.0.0.1:8080:80', ...serve]);
    await eventually('an answer', () => answers('127.0.0.1', 8080));
    const links = async () => (await d.must(['exec', 'web', 'ls', '/sys/class/net'])).split('\n');
    const networks = async () =>
      Object.keys(JSON.parse(await d.must(['inspect', '-f', '{{json .NetworkSettings.Networks}}', 'web'])) as object);
    const killedAt = async (point: string, ...args: string[]): Promise<void> => {
      await d.restart('SIGTERM', { BERTH_FAILPOINTS: `${point}=kill` });
      const r = await d.berth(args);
      expect([point, r.code === 0]).toEqual([point, false]);
      expect([point, await d.ended()]).toEqual([point, 'SIGKILL']);
      await d.launch();
      expect([point, await answers('127.0.0.1', 8080)]).toEqual([point, true]);
    };
    for (const point of ['connect.joined', 'connect.recorded']) {
      await killedAt(point, 'network', 'connect', 'two', 'web');
      const connected = (await networks()).includes('two');
      expect([point, connected]).toEqual([point, point === 'connect.recorded']);
      await eventually(`${point}: a link for each network`, async () => (await links()).length === (connected ? 3 : 2));
      if (connected) await d.must(['network', 'disconnect', 'two', 'web']);
    }
    await d.must(['network', 'connect', 'two', 'web']);
    await killedAt('disconnect.recorded', 'network', 'disconnect', 'two', 'web');
    expect(await networks()).toEqual(['one']);
    await eventually('its link is gone', async () => (await links()).length === 2);

    await killedAt('update.recorded', 'update', '--publish-add', '127.0.0.1:8081:80', 'web');
    expect(await answers('127.0.0.1', 8081)).toBe(true);
    expect((await d.must(['port', 'web', '80'])).split('\n').length).toBe(2);
    await d.must(['rm', '-f', 'web']);
    for (const port of [8080, 8081]) expect(await answers('127.0.0.1', port)).toBe(false);
    await d.must(['network', 'rm', 'one', 'two']);
    const rules = async () => (await run('nft', ['list', 'ruleset'])).stdout;
    await eventually('no rule is left', async () => !/8080|8081|egress-/.test(await rules()));
  });
}
