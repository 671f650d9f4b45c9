/** Networks that others damage, and daemons that are killed while they change something of them. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { eventually, must, run } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';
import { scriptInside } from '../support/inside.ts';
import { Machine } from '../support/machine.ts';
import { nameServer } from '../support/name-server.ts';
import { isInside } from '../integration/network/namespace.ts';

const IMG = 'berth.test/busybox:1';
const serve = [IMG, 'nc', '-ll', '-p', '80', '-e', 'echo', 'hello'];

if (isInside(import.meta.path)) {
  setDefaultTimeout(120_000);
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
    for (const point of ['connect.allocated', 'connect.joined', 'connect.recorded']) {
      await killedAt(point, 'network', 'connect', 'two', 'web');
      const connected = (await networks()).includes('two');
      expect([point, connected]).toEqual([point, point === 'connect.recorded']);
      await eventually(`${point}: a link for each network`, async () => (await links()).length === (connected ? 3 : 2));
      if (connected) await d.must(['network', 'disconnect', 'two', 'web']);
    }
    for (const point of ['disconnect.recorded', 'disconnect.left']) {
      await d.must(['network', 'connect', 'two', 'web']);
      await killedAt(point, 'network', 'disconnect', 'two', 'web');
      expect(await networks()).toEqual(['one']);
      await eventually('its link is gone', async () => (await links()).length === 2);
    }

    await killedAt('update.recorded', 'update', '--publish-add', '127.0.0.1:8081:80', 'web');
    expect(await answers('127.0.0.1', 8081)).toBe(true);
    expect((await d.must(['port', 'web', '80'])).split('\n').length).toBe(2);
    await d.must(['rm', '-f', 'web']);
    for (const port of [8080, 8081]) expect(await answers('127.0.0.1', port)).toBe(false);
    await d.must(['network', 'rm', 'one', 'two']);
    const rules = async () => (await run('nft', ['list', 'ruleset'])).stdout;
    await eventually('no rule is left', async () => !/8080|8081|egress-/.test(await rules()));
  });

  test('resolvers that never answer: names of containers are answered all the while, the rest fails, nothing stays open', async () => {
    await using machine = await Machine.start({
      link: 'outside',
      host: ['192.0.2.1/24'],
      own: ['192.0.2.2/24', '192.0.2.3/24'],
    });
    const silent = `const s = require('dgram').createSocket('udp4'); s.bind(53, '192.0.2.2', () => console.log('ready'));`;
    await using _ = await scriptInside(machine.pid, silent);
    await using d = await TestDaemon.start({ args: ['--dns', '192.0.2.2'] });
    await d.must(['network', 'create', 'net']);
    await d.must(['run', '-d', '--name', 'web', '--network', 'net', IMG, 'sleep', '1000']);
    const ask = (name: string) => d.docker(['exec', 'web', 'nslookup', '-type=a', name, '127.0.0.11']);
    expect((await ask('web')).code).toBe(0);
    const open = () => readdirSync(`/proc/${d.pid}/fd`).length;
    const before = open();
    const asked = Array.from({ length: 10 }, (_, i) => ask(`n${i}.example`));
    for (let i = 0; i < 5; i++) expect((await ask('web')).code).toBe(0);
    for (const { code } of await Promise.all(asked)) expect(code).not.toBe(0);
    await eventually('its sockets are closed', () => open() <= before + 2, 20_000);
    // With one that answers beside it nobody waits for the silent one.
    await using good = await nameServer(machine.pid, { 'one.example': ['192.0.2.10'] }, '192.0.2.3');
    await d.must([
      'run',
      '-d',
      '--name',
      'two',
      '--network',
      'net',
      '--dns',
      '192.0.2.2',
      '--dns',
      '192.0.2.3',
      IMG,
      'sleep',
      '1000',
    ]);
    expect(await d.must(['exec', 'two', 'nslookup', '-type=a', 'one.example', '127.0.0.11'])).toContain('192.0.2.10');
    expect(good.output()).toContain('asked one.example');
    await d.must(['rm', '-f', 'web', 'two']);
    await d.must(['network', 'rm', 'net']);
  });

  test('more notifications than fit while the daemon stands still: the rules that were flushed are back', async () => {
    await using d = await TestDaemon.start();
    await d.must(['run', '-d', '--name', 'web', '-p', '127.0.0.1:8080:80', ...serve]);
    await eventually('an answer', () => answers('127.0.0.1', 8080));
    const [, table = ''] = /^table inet (berth-\S+)$/m.exec(await must('nft', ['list', 'tables'])) ?? [];
    const elements = Array.from({ length: 60_000 }, (_, i) => `udp . ${i + 1} : 10.0.0.1 . 1`).join(', ');
    process.kill(d.pid, 'SIGSTOP');
    try {
      await must('nft', ['-f', '-'], { input: `add element inet ${table} pub4any { ${elements} }\n` });
      await must('nft', ['flush', 'map', 'inet', table, 'pub4any']);
      await must('nft', ['flush', 'ruleset']);
      expect(await answers('127.0.0.1', 8080)).toBe(false);
    } finally {
      process.kill(d.pid, 'SIGCONT');
    }
    await eventually('the port leads on again', () => answers('127.0.0.1', 8080), 30_000);
    expect(d.log).toContain('notifications of nftables were lost');
    // And the next flush is heard.
    await must('nft', ['flush', 'ruleset']);
    await eventually('the port leads on again', () => answers('127.0.0.1', 8080), 30_000);
    await d.must(['rm', '-f', 'web']);
  });
}
