/** `berth network resolve`: names of containers for the host, and for nobody else; `berth network graph`. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { Resolver } from 'node:dns/promises';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { eventually, must } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { isInside } from './namespace.ts';

const IMG = 'berth.test/busybox:1';

if (isInside(import.meta.path)) {
  setDefaultTimeout(60_000);
  await must('ip', ['link', 'set', 'lo', 'up']);

  /** In place of systemd-resolved's tool: writes down what it is told. */
  function fakeTool(): { readonly directory: string; said(): string } & Disposable {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'resolvectl-'));
    const file = path.join(directory, 'said');
    fs.writeFileSync(path.join(directory, 'resolvectl'), `#!/bin/sh\necho "$@" >> ${file}\n`, { mode: 0o755 });
    return {
      directory,
      said: () => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''),
      [Symbol.dispose]: () => fs.rmSync(directory, { recursive: true }),
    };
  }

  const resolver = (address: string): Resolver => {
    const one = new Resolver({ timeout: 2000, tries: 2 });
    one.setServers([address]);
    return one;
  };
  const answer = (work: Promise<string[]>): Promise<string> =>
    work.then(
      (list) => list.join(' '),
      (error: unknown) => String(Reflect.get(Object(error), 'code')),
    );

  test('the host finds containers of all its networks by name, others do not; undone by --remove', async () => {
    using tool = fakeTool();
    const PATH = `${tool.directory}:${process.env['PATH'] ?? ''}`;
    await using d = await TestDaemon.start({ env: { PATH } });
    const gateway = `${d.subnet}.1`;
    await d.must(['network', 'create', '--ipv6', 'app']);
    await d.must(['run', '-d', '--name', 'web', '--network', 'app', '--network-alias', 'www', IMG, 'sleep', '1000']);
    await d.must(['run', '-d', '--name', 'plain', IMG, 'sleep', '1000']);
    const settings = '{{.NetworkSettings.Networks.app.IPAddress}} {{.NetworkSettings.Networks.app.GlobalIPv6Address}}';
    const [four = '', six = ''] = (await d.must(['inspect', '-f', settings, 'web'])).split(' ');
    const host = resolver(gateway);
    const berth = async (...args: string[]) => (await d.berth(['network', 'resolve', ...args])).stdout;
    expect(await berth()).toBe('Names of containers are not served to this host\n');

    expect(await berth('--install')).toContain('systemd-resolved asks there');
    expect(tool.said()).toBe(`dns ${d.bridge} ${gateway}\ndomain ${d.bridge} ~berth.internal\n`);
    expect(
      await eventually('a name', async () => (await answer(host.resolve4('web.app.berth.internal'))) === four),
    ).toBe(true);
    expect(await answer(host.resolve6('WEB.app.Berth.internal'))).toBe(six);
    expect(await answer(host.resolve4('www.app.berth.internal'))).toBe(four);
    expect(await answer(host.resolve4('plain.bridge.berth.internal'))).toMatch(new RegExp(`^${d.subnet}\\.\\d+$`));
    expect(await answer(host.reverse(four))).toBe('web.app.berth.internal');
    expect(await answer(host.resolve4('nobody.app.berth.internal'))).toBe('ENOTFOUND');
    expect(await answer(host.resolve4('web.berth.internal'))).toBe('ENOTFOUND');
    expect(await answer(host.resolve4('example.com'))).toBe('EREFUSED');
    // A container may ask, and is not answered.
    const asked = await d.docker(['exec', 'plain', 'timeout', '2', 'nslookup', 'web.app.berth.internal', gateway]);
    expect(asked.code).not.toBe(0);
    expect(asked.stdout).not.toContain(four);

    // As containers come and go, and over a kill of the daemon.
    await d.must(['rename', 'web', 'site']);
    await eventually('the new name', async () => (await answer(host.resolve4('site.app.berth.internal'))) === four);
    await d.restart();
    await eventually('names again', async () => (await answer(host.resolve4('site.app.berth.internal'))) === four);
    expect(tool.said().split('\n').length).toBe(5);

    expect(await berth('--remove')).toBe('Names of containers are not served to this host\n');
    expect(tool.said()).toEndWith(`revert ${d.bridge}\n`);
    const nobody = async () => /ECONNREFUSED|ETIMEOUT/.test(await answer(host.resolve4('site.app.berth.internal')));
    await eventually('nobody answers', nobody);
    await d.restart();
    expect(await nobody()).toBe(true);

    const tree = (await d.berth(['network', 'graph', 'app'])).stdout;
    expect(tree).toMatch(/^app {2}bridge \S+ \S+\n└─ site {2}\S+ {2}\S+\n$/);
    expect((await d.berth(['network', 'graph', '--svg', '-'])).stdout).toContain('>site</text>');
    expect((await d.berth(['network', 'graph', 'x'])).stderr).toContain('network x not found');
  });

  test('without a container the bridge has a carrier for systemd-resolved, while it is to be asked', async () => {
    using tool = fakeTool();
    const PATH = `${tool.directory}:${process.env['PATH'] ?? ''}`;
    await using d = await TestDaemon.start({ env: { PATH } });
    const flags = async () => / <(\S*)>/.exec(await must('ip', ['-o', 'link', 'show', 'dev', d.bridge]))?.[1] ?? '';
    const links = async () => (await must('ip', ['-br', 'link'])).match(/^berth-[uv]-/gm)?.length ?? 0;
    expect(await flags()).toContain('NO-CARRIER');
    expect((await d.berth(['network', 'resolve', '--install', '--manual'])).code).toBe(0);
    expect(await flags()).toContain('NO-CARRIER');
    expect((await d.berth(['network', 'resolve', '--install'])).stderr).toBe('');
    expect(await flags()).toContain('LOWER_UP');
    await d.restart();
    expect(await flags()).toContain('LOWER_UP');

    // Nothing that containers send goes there, and it answers nobody.
    const [port = '', end = ''] =
      (await must('ip', ['-br', 'link'])).match(/^berth-[uv]-[0-9a-f]{6}/gm)?.toSorted() ?? [];
    const mute: unknown = JSON.parse(await must('bridge', ['-d', '-j', 'link', 'show', 'dev', port]));
    expect(mute).toMatchObject([{ learning: false, flood: false, mcast_flood: false, bcast_flood: false }]);
    expect(await must('ip', ['-o', 'link', 'show', 'dev', end])).toContain('NOARP');

    // The bridge that somebody has deleted is another one when it is there again: resolved is told anew.
    await must('ip', ['link', 'del', d.bridge]);
    const before = tool.said().length;
    await d.must(['run', '--rm', IMG, 'true']);
    await eventually('resolved is told of it', () => tool.said().slice(before).includes(`domain ${d.bridge} `));
    expect(await flags()).toContain('LOWER_UP');

    expect((await d.berth(['network', 'resolve', '--remove'])).code).toBe(0);
    await eventually('no carrier', async () => (await flags()).includes('NO-CARRIER'));
    expect(await links()).toBe(0);
  });

  test('without systemd-resolved it is said; by hand it is served; a port that is taken is told', async () => {
    await using d = await TestDaemon.start({ env: { PATH: '/nowhere' } });
    const none = await d.berth(['network', 'resolve', '--install']);
    expect(none.code).toBe(1);
    expect(none.stderr).toContain('systemd-resolved is not here: with --manual');
    expect((await d.berth(['network', 'resolve', '--install', '--manual'])).stdout).toContain(
      'your resolver has to ask',
    );
    expect(await answer(resolver(`${d.subnet}.1`).resolve4('a.b.berth.internal'))).toBe('ENOTFOUND');
    await d.berth(['network', 'resolve', '--remove']);
    const taken = Bun.listen({ hostname: `${d.subnet}.1`, port: 53, socket: { data() {} } });
    const refused = await d.berth(['network', 'resolve', '--install', '--manual']);
    expect(refused.stderr).toContain(`Cannot serve names at ${d.subnet}.1, port 53`);
    expect((await d.berth(['network', 'resolve'])).stdout).toContain('are not served');
    taken.stop(true);
    for (const args of [['--install', '--remove'], ['--manual']]) {
      expect((await d.berth(['network', 'resolve', ...args])).code).not.toBe(0);
    }
  });
}
